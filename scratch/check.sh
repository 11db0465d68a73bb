set -e
cd /work/h/w-workers
.venv/bin/ruff check . ; .venv/bin/ruff format --check . | tail -1
.venv/bin/pyright | tail -3
.venv/bin/python scripts/async_to_sync.py --check
.venv/bin/python scripts/names.py | tail -3
.venv/bin/python scripts/pictures.py --check || { .venv/bin/python scripts/pictures.py; git status --short docs/pictures; }
.venv/bin/python scripts/dependencies.py | tail -2
