"""Questions of a server to the user: forms, and the terminal on which they are answered."""
