"""One user at one MCP endpoint: the token of each request, and the flows that follow a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from ..exceptions import AuthorizationRequiredError, OAuthError
from .challenges import Challenge, for_tokens
from .client import Application, Clients
from .client_auth import Client, Signer
from .code_grant import PendingSignIn
from .discovery import NoMetadataError, discover_target
from .dpop import USE_NONCE, Prover, binds_tokens
from .metadata import AuthorizationTarget
from .records import GrantRecord
from .scopes import union
from .sign_in import BrowserSignIn, DeviceSignIn, GrantSignIn, PendingDeviceSignIn, SignInWay
from .steps import (
    UNKNOWN_CLIENT_ERRORS,
    AskUser,
    Clock,
    Entropy,
    Flow,
    ForgottenClientError,
    InvalidGrantError,
    SaveRecord,
    ShowCode,
    TokenError,
)
from .tokens import TokenEndpoint, Tokens, refresh_tokens, revoke_tokens
from .urls import checked, shown

#: Sign-ins for one request of the application: a first one, and two that ask for more.
MAX_SIGN_INS = 3

#: Renewals for one request: the second if the token that came of the first has been ended on its way.
MAX_RENEWALS = 2

WayT = TypeVar("WayT", bound=SignInWay)

AuditedAction = Literal["obtain", "refresh", "revoke"]
"""An action on tokens."""


@dataclass(slots=True)
class AuthAttempt:
    """The sign-ins, renewals and the nonce of one request of the application."""

    sign_ins: int = 0
    renewals: int = 0
    nonce: str | None = None
    plain: bool = False
    """Whether the server has refused a fresh token that was bound to a key, and wants a plain one."""


class Authorizer:
    """Holds the record of one user at one endpoint, and runs flows on it.

    Args:
        endpoint: URL of the MCP server.
        application: The application.
        record: The record of the user; changed by the flows.
        registrations: The clients that the application was registered as, by issuer, as JSON;
            changed by the flows.
        random: Entropy.
        clock: Tells the time.
    """

    def __init__(
        self,
        endpoint: str,
        application: Application,
        record: GrantRecord,
        registrations: dict[str, Any],
        *,
        random: Entropy,
        clock: Clock,
    ) -> None:
        self.endpoint = endpoint
        self.record = record
        self._application = application
        self._clients = Clients(endpoint, application, registrations, clock)
        self._random = random
        self._clock = clock
        self._audited: list[AuditedAction] = []
        self._notes: list[str] = []
        self._metadata_url: str | None = None
        self._prover: Prover | None = None
        self.sign_with(application.signer)

    def _token_endpoint(
        self, issuer: str, url: str, client: Client | None, prover: Prover | None = None
    ) -> TokenEndpoint:
        parameters = self._application.token_parameters
        return TokenEndpoint(issuer, url, client, self._random, self._clock, prover, parameters=parameters)

    def sign_with(self, signer: Signer | None) -> None:
        """Sign the proofs of the user's requests with a key, None for plain tokens only."""
        self._prover = Prover(signer, self._random, self._clock) if signer is not None else None

    def audit_events(self) -> list[AuditedAction]:
        """Return the actions on tokens since the last call."""
        audited, self._audited = self._audited, []
        return audited

    def notes(self) -> list[str]:
        """Return the oddities of servers that were passed over or conceded since the last call."""
        notes, self._notes = self._notes, []
        return notes

    # ---- with each request ----------------------------------------------------------------------

    @property
    def tokens(self) -> Tokens | None:
        """The tokens in force for this endpoint; a record of another endpoint counts for nothing."""
        return self.record.tokens if self.record.text("endpoint") == self.endpoint else None

    def headers(self, method: str, url: str) -> dict[str, str]:
        """Return the headers that go with a request to the endpoint, none without a token."""
        tokens = self.tokens
        if tokens is None:
            return {}
        if tokens.token_type != "dpop":  # noqa: S105 - a name
            return {"Authorization": f"Bearer {tokens.access_token}"}
        if self._prover is None:
            return {}
        proof = self._prover.proof(method, url, token=tokens.access_token)
        return {"Authorization": f"DPoP {tokens.access_token}", "DPoP": proof}

    def note_nonce(self, nonce: str) -> None:
        """Note the nonce that the next proofs have to carry (RFC 9449, sections 8.2 and 9)."""
        if self._prover is not None:
            self._prover.note_nonce(self.endpoint, nonce)

    def hear(self, challenges: Sequence[Challenge], nonce: str | None, attempt: AuthAttempt) -> bool | None:
        """Note the nonce that comes with a refusal.

        Returns:
            Whether the request may be made again with it; None where the refusal is about
            something else, which :meth:`challenged` handles.
        """
        news = nonce is not None and nonce != attempt.nonce
        if nonce is not None:
            attempt.nonce = nonce
            self.note_nonce(nonce)
        challenge = self._relevant(challenges)
        return news if challenge is not None and challenge.error == USE_NONCE else None

    def _relevant(self, challenges: Sequence[Challenge]) -> Challenge | None:
        """Return the challenge that is about the tokens of this user, None where no challenge is."""
        tokens = self.tokens
        return for_tokens(challenges, tokens.token_type if tokens is not None else None)

    @property
    def due(self) -> bool:
        """Whether the tokens should be renewed before the next request."""
        tokens = self.tokens
        return tokens is not None and tokens.due(self._clock()) and self._renewable(tokens)

    @property
    def ending(self) -> bool:
        """Whether the tokens have to be renewed before the next request."""
        return self.due and self.tokens is not None and self.tokens.ending(self._clock())

    def _renewable(self, tokens: Tokens) -> bool:
        return tokens.refresh_token is not None or self._application.grant is not None

    def renew(self) -> Flow[None]:
        """Renew the tokens, and forget those that cannot be renewed any more.

        Raises:
            InvalidGrantError: The user has to sign in again.
            OAuthError: It did not work this time; the tokens stay.
        """
        tokens, token_url = self.tokens, self.record.text("token_endpoint")
        if tokens is None or token_url is None:
            raise InvalidGrantError(
                f"there are no tokens to renew for {shown(self.endpoint)}", "invalid_grant"
            )
        if self._application.grant is not None:
            yield from self._sign_in((yield from self._discover(None)), tokens.scope)
            return
        prover = self._prover if tokens.token_type == "dpop" else None  # noqa: S105 - a name
        resource = self._application.resource_for(self.record.text("resource"))
        token_endpoint = self._token_endpoint(tokens.issuer, token_url, self.record.client, prover)
        try:
            self.record.renew((yield from refresh_tokens(token_endpoint, tokens, resource)))
            self._audited.append("refresh")
        except TokenError as error:
            by_hand = self._application.client_id is not None
            if error.temporary or (by_hand and error.error in UNKNOWN_CLIENT_ERRORS):
                raise  # a secret that was given wrongly costs no tokens
            if error.unknown_client:
                self._clients.forget(tokens.issuer, self.record.client)
            # Refused in whatever words: asking again would not help.
            self.record.forget_tokens()
            if isinstance(error, InvalidGrantError):
                raise
            raise InvalidGrantError(str(error), error.error, error.status) from error

    # ---- after a refusal ---------------------------------------------------------------------------

    def challenged(self, status: int, challenges: Sequence[Challenge], attempt: AuthAttempt) -> Flow[bool]:
        """Act on a refusal, and return whether the request may be made again.

        Args:
            status: 400, 401 or 403.
            challenges: The challenges of the refusal.
            attempt: The state of this request over its refusals.

        Raises:
            AuthorizationRequiredError: A user has to sign in, and cannot be asked now.
            OAuthError: It cannot be done.
        """
        challenge = self._relevant(challenges)
        error = challenge.error if challenge is not None else None
        if status == 403 and challenge is not None and error == "insufficient_scope":
            return (yield from self._ask_for_scope(challenge, attempt))
        # Some servers refuse a missing token with 403 (FastAPI), and one that has ended with 400 or 403.
        missing = status == 401 or (status == 403 and self.tokens is None)
        if not missing and error != "invalid_token":
            return False
        # A refusal that names another scheme, or none, may be about tokens too: the metadata decide.
        sure = challenge is not None or (status == 401 and not challenges)
        try:
            return (yield from self._replace_token(challenge or Challenge("bearer"), attempt, guess=sure))
        except NoMetadataError:
            if sure:
                raise
            return False

    def _replace_token(self, challenge: Challenge, attempt: AuthAttempt, *, guess: bool) -> Flow[bool]:
        """Get tokens where they are missing or not valid any more."""
        if self._is_bound_in_vain(challenge, attempt):
            attempt.plain = True
        elif attempt.sign_ins:
            return False
        target = yield from self._discover(challenge.resource_metadata, guess=guess)
        tokens = self.tokens
        # If the server has moved, tokens of another authorization server are of no use here.
        renewable = tokens is not None and tokens.refresh_token and tokens.issuer == target.server.issuer
        renewable = renewable and not attempt.plain and attempt.renewals < MAX_RENEWALS
        if renewable and self._application.grant is None:
            attempt.renewals += 1
            with suppress(InvalidGrantError):
                yield from self.renew()
                return True
        self.record.forget_tokens()
        yield from self._sign_in(target, self._scope(target, challenge.scope), attempt, challenge)
        return True

    def _is_bound_in_vain(self, challenge: Challenge, attempt: AuthAttempt) -> bool:
        """Return whether a server that takes plain tokens only has refused a fresh one bound to a key."""
        tokens = self.tokens
        if tokens is None or tokens.token_type != "dpop" or challenge.scheme != "bearer":  # noqa: S105
            return False
        fresh = attempt.sign_ins or attempt.renewals or tokens.refresh_token is None
        return bool(fresh) and not challenge.takes_proofs and not attempt.plain

    def _scope(self, target: AuthorizationTarget, challenged: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the scopes to ask for, with all that the user was asked for before."""
        return self._application.scopes_at(target, challenged, self.record.requested(target.server.issuer))

    def _ask_for_scope(self, challenge: Challenge, attempt: AuthAttempt) -> Flow[bool]:
        """Have the user grant the scopes that a valid token lacks."""
        tokens = self.tokens
        had = tokens.scope if tokens is not None else ()
        exact = self._application.exact_scope
        wanted = union(had, self._application.allowed(challenge.scope or ()) if exact is None else exact)
        if attempt.sign_ins >= MAX_SIGN_INS or wanted == had:
            return False
        target = yield from self._discover(challenge.resource_metadata)
        wanted = union(self.record.requested(target.server.issuer), wanted) if exact is None else exact
        yield from self._sign_in(target, wanted, attempt, challenge)
        return True

    def _discover(
        self, metadata_url: str | None, *, ask: bool = False, guess: bool = True
    ) -> Flow[AuthorizationTarget]:
        """Find out where to sign in, and remember where the server has said that it describes itself."""
        grant, record = self._application.grant, self.record
        ours = record.text("endpoint") in (None, self.endpoint)
        kept = record.text("issuer") if ours else None
        target = yield from discover_target(
            self.endpoint,
            metadata_url or self._metadata_url or (record.text("resource_metadata") if ours else None),
            known=self._application.known_server,
            issuers=[kept] if kept is not None else [],
            guess=guess and grant is None,
            ask=ask,
            strict=self.tokens is not None,
            serves=self._application.is_served_by,
        )
        odd = target.server.left_aside.values()
        self._notes += [f"passed over in the metadata of {target.server.issuer}: {why}" for why in odd]
        self._notes += [f"conceded by {each}" for each in target.server.concessions]
        self._metadata_url = target.metadata_url
        return replace(target, resource=self._application.resource_for(target.resource))

    # ---- signing in -----------------------------------------------------------------------------------

    def _way(self, kind: type[WayT]) -> WayT:
        """Return a way to sign in; none of them has a state of its own."""
        return kind(self.endpoint, self._application, self._clients, random=self._random, clock=self._clock)

    def _sign_in(
        self,
        target: AuthorizationTarget,
        scope: tuple[str, ...],
        attempt: AuthAttempt | None = None,
        challenge: Challenge | None = None,
    ) -> Flow[None]:
        if attempt is not None:
            attempt.sign_ins += 1
        prover = self._dpop(target, challenge, attempt)
        if self._application.grant is not None:
            grant = self._application.grant
            tokens = yield from self._way(GrantSignIn).obtain(grant, target, scope, prover)
            self._settle(tokens, target, None, scope)
            return
        if self._application.on_device:
            try:
                yield from self._show_code(target, scope, prover)
            except ForgottenClientError:
                yield from self._show_code(target, scope, prover)  # once, as below
            return
        # A user that cannot be asked now gets one page, however many requests are refused meanwhile.
        again = not self._application.interactive
        pending = yield from self._begin(target, scope, prover, again=again)
        if not self._application.interactive:
            raise AuthorizationRequiredError(
                f"a user has to sign in at {target.server.issuer} before {shown(self.endpoint)} can be used",
                url=pending.url,
            )
        try:
            yield from self._ask_user(pending)
        except ForgottenClientError:
            # Once: a client that was registered just now is refused for another reason.
            yield from self._ask_user((yield from self._begin(target, scope, prover)))

    def _settle(
        self, tokens: Tokens, target: AuthorizationTarget, client: Client | None, scope: tuple[str, ...]
    ) -> None:
        """Note the tokens of this sign-in in the record, which may have been read anew meanwhile."""
        self.record.settle(
            tokens,
            endpoint=self.endpoint,
            client=client,
            resource=target.resource,
            token_endpoint=target.server.token_endpoint,
            revocation_endpoint=target.server.revocation_endpoint,
            requested=scope,
            resource_metadata=target.metadata_url,
        )
        self._audited.append("obtain")

    def _show_code(
        self, target: AuthorizationTarget, scope: tuple[str, ...], prover: Prover | None
    ) -> Flow[None]:
        """Have the user enter a code on another device (RFC 8628)."""
        pending = yield from self._way(DeviceSignIn).begin(target, scope, prover)
        yield ShowCode(pending.device.shown, self._poll(pending))

    def _poll(self, pending: PendingDeviceSignIn) -> Flow[None]:
        tokens = yield from self._way(DeviceSignIn).complete(pending)
        self._settle(tokens, pending.target, pending.client, pending.scope)

    def _begin(
        self,
        target: AuthorizationTarget,
        scope: tuple[str, ...],
        prover: Prover | None,
        *,
        again: bool = False,
    ) -> Flow[PendingSignIn]:
        dpop = prover is not None
        return (yield from self._way(BrowserSignIn).begin(self.record, target, scope, dpop=dpop, again=again))

    def _ask_user(self, pending: PendingSignIn) -> Flow[None]:
        callback: str = yield AskUser(pending.url, str(pending.kept["redirect_uri"]))
        yield from self.complete(callback)

    def begin(self, scope: tuple[str, ...] = ()) -> Flow[PendingSignIn]:
        """Prepare to send the user to sign in; :meth:`complete` takes the answer, here or elsewhere.

        Args:
            scope: Scopes to ask for beside those that a refusal would lead to.

        Raises:
            OAuthError: There is no way to sign in.
        """
        target = yield from self._discover(None, ask=True)
        scope = union(self._scope(target, None), scope)
        return (yield from self._begin(target, scope, self._dpop(target, None, None)))

    def complete(self, callback_url: str) -> Flow[None]:
        """Take the URL that the user came back to, and get the tokens.

        Raises:
            ForgottenClientError: The authorization server has forgotten the client; begin again.
            OAuthError: It belongs to no sign-in of this user that waits, or says no.
        """
        yield from self._way(BrowserSignIn).complete(self.record, callback_url, self._prover)
        self._audited.append("obtain")

    def _dpop(
        self, target: AuthorizationTarget, challenge: Challenge | None, attempt: AuthAttempt | None
    ) -> Prover | None:
        """Return the prover where tokens are to be bound to our key, None for plain tokens."""
        if self._prover is None:
            if target.dpop_required:
                raise OAuthError(
                    f"{shown(self.endpoint)} requires DPoP: pip install 'routermcp[oauth]', and leave "
                    "dpop=False out of OAuthConfig"
                )
            return None
        refused = attempt is not None and attempt.plain
        prefers = self._application.prefers_dpop
        return self._prover if binds_tokens(target, challenge, prefers=prefers, refused=refused) else None

    def forget_clients(self) -> Flow[None]:
        """Drop the registrations of the application, so that the next sign-in makes a new one."""
        self._clients.forget_all()
        yield SaveRecord()

    def revoke(self) -> Flow[None]:
        """Revoke the tokens, and note that the user has withdrawn the consent."""
        tokens, endpoint = self.tokens, self.record.text("revocation_endpoint")
        grant, client = self._application.grant, self.record.client
        self.record.forget_tokens()
        self.record.members.pop("requested", None)
        self.record.members["revoked"] = True
        self._audited.append("revoke")
        yield SaveRecord()  # also if no caller waits for what follows
        if tokens is not None and endpoint is not None:
            token_endpoint = self._token_endpoint(tokens.issuer, "", client)
            if grant is not None:
                token_endpoint = replace(token_endpoint, client=grant.client, signer=grant.signer)
            url = checked(endpoint, "revocation_endpoint", self._application.plain_hosts)
            yield from revoke_tokens(url, token_endpoint, tokens)
