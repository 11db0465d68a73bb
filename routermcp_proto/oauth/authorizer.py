"""One user at one MCP endpoint: the token that goes with a request, and what to do when it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..exceptions import AuthorizationRequiredError, OAuthError
from .authorization import Pending, begin, code_from, exchange_form, state_of
from .challenges import Challenge, for_tokens
from .clients import NONE, Client, Signer, method_for, register
from .dpop import ALGORITHM, USE_NONCE, Prover
from .machine import MachineGrant
from .metadata import Place, discover
from .places import checked
from .records import GrantRecord
from .scopes import chosen, union
from .steps import AskUser, Clock, Entropy, Flow, InvalidGrantError
from .tokens import Desk, Tokens, refresh, revoke

#: Sign-ins for one request of the application: a first one, and two that ask for more.
MAX_SIGN_INS = 3

Deed = Literal["obtain", "refresh", "revoke"]
"""What was done with tokens."""


@dataclass(frozen=True, slots=True)
class Application:
    """What an application brings along to sign its users in.

    Attributes:
        name: What users are told who asks.
        redirect_uri: Where users come back to; None where no user can sign in.
        client_id: Its id, where it was registered by hand.
        client_secret: The secret that goes with it.
        issuer: The authorization server that knows it by that id; None for whichever it is.
        metadata_url: URL of its client id metadata document.
        scope: Scopes that it wants in any case.
        grant: How it gets tokens without a user.
        interactive: Whether a user can be asked while a request waits.
        signer: Signs DPoP proofs; None for plain tokens.
        tag: What each state ends with, for who has to tell whose answer comes back.
    """

    name: str
    redirect_uri: str | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    issuer: str | None = None
    metadata_url: str | None = None
    scope: tuple[str, ...] = ()
    grant: MachineGrant | None = None
    interactive: bool = True
    signer: Signer | None = field(default=None, repr=False)
    tag: str = field(default="", repr=False)


@dataclass(slots=True)
class Trial:
    """What was done so far for one request of the application."""

    sign_ins: int = 0
    refreshed: bool = False


class Authorizer:
    """Holds the record of one user at one endpoint, and runs flows on it.

    Args:
        endpoint: URL of the MCP server.
        application: Who asks.
        record: What is kept of the user; changed by the flows.
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
        self.registrations = registrations
        self._application = application
        self._random = random
        self._clock = clock
        self._nonce: str | None = None
        self._deeds: list[Deed] = []
        signer = application.signer
        self._prover = Prover(signer, random, clock) if signer is not None else None

    def deeds(self) -> list[Deed]:
        """Return what was done with tokens since this was asked last."""
        deeds, self._deeds = self._deeds, []
        return deeds

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
        proof = self._prover.proof(method, url, nonce=self._nonce, token=tokens.access_token)
        return {"Authorization": f"DPoP {tokens.access_token}", "DPoP": proof}

    def hear(self, challenges: Sequence[Challenge], nonce: str | None) -> bool | None:
        """Note the nonce that the next proofs have to carry (RFC 9449, section 9).

        Returns:
            Whether the request may be made again with it; None where the refusal is about
            something else, so that :meth:`challenged` has to see to it.
        """
        news = nonce is not None and nonce != self._nonce
        if nonce is not None:
            self._nonce = nonce
        challenge = for_tokens(challenges)
        return news if challenge is not None and challenge.error == USE_NONCE else None

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
        """Renew the tokens. What cannot be renewed any more is forgotten.

        Raises:
            InvalidGrantError: The user has to sign in again.
            OAuthError: It did not work this time; the tokens stay.
        """
        tokens, token_endpoint = self.tokens, self.record.text("token_endpoint")
        if tokens is None or token_endpoint is None:
            raise InvalidGrantError(f"there are no tokens to renew for {self.endpoint}", "invalid_grant")
        if self._application.grant is not None and tokens.refresh_token is None:
            yield from self._sign_in((yield from discover(self.endpoint, None)), tokens.scope)
            return
        prover = self._prover if tokens.token_type == "dpop" else None  # noqa: S105 - a name
        desk = Desk(tokens.issuer, token_endpoint, self.record.client, self._random, self._clock, prover)
        try:
            self.record.renew((yield from refresh(desk, tokens, self.record.text("resource"))))
            self._deeds.append("refresh")
        except InvalidGrantError:
            self.record.forget_tokens()
            raise

    # ---- after a refusal ---------------------------------------------------------------------------

    def challenged(self, status: int, challenges: Sequence[Challenge], trial: Trial) -> Flow[bool]:
        """Do what a refusal asks for; say whether the request may be made again.

        Args:
            status: 401 or 403.
            challenges: What the refusal says.
            trial: What was done so far for this request.

        Raises:
            AuthorizationRequiredError: A user has to sign in, and cannot be asked now.
            OAuthError: It cannot be done.
        """
        challenge = for_tokens(challenges)
        if status == 401 and (challenge is not None or not challenges):
            return (yield from self._unknown(challenge or Challenge("bearer"), trial))
        if status == 403 and challenge is not None and challenge.error == "insufficient_scope":
            return (yield from self._too_little(challenge, trial))
        return False

    def _unknown(self, challenge: Challenge, trial: Trial) -> Flow[bool]:
        """The token is missing, or no longer good."""
        if trial.sign_ins:
            return False
        place = yield from discover(self.endpoint, challenge.resource_metadata)
        tokens = self.tokens
        if tokens is not None and tokens.issuer != place.server.issuer:
            # The server has moved: what another authorization server gave is nothing here.
            self.record.forget_tokens()
            tokens = None
        if tokens is not None and tokens.refresh_token is not None and not trial.refreshed:
            trial.refreshed = True
            try:
                yield from self.renew()
            except InvalidGrantError:
                pass
            else:
                return True
        scope = chosen(
            challenge.scope, place.scopes_supported, self._application.scope, place.server.scopes_supported
        )
        yield from self._sign_in(place, scope, trial, challenge)
        return True

    def _too_little(self, challenge: Challenge, trial: Trial) -> Flow[bool]:
        """The token is good, but not for this."""
        tokens = self.tokens
        had = tokens.scope if tokens is not None else ()
        wanted = union(had, challenge.scope or ())
        if trial.sign_ins >= MAX_SIGN_INS or wanted == had:
            return False
        place = yield from discover(self.endpoint, challenge.resource_metadata)
        yield from self._sign_in(place, wanted, trial, challenge)
        return True

    # ---- signing in -----------------------------------------------------------------------------------

    def _sign_in(
        self,
        place: Place,
        scope: tuple[str, ...],
        trial: Trial | None = None,
        challenge: Challenge | None = None,
    ) -> Flow[None]:
        if trial is not None:
            trial.sign_ins += 1
        grant = self._application.grant
        if grant is not None:
            server = place.server
            desk = Desk(
                server.issuer,
                server.token_endpoint,
                None,
                self._random,
                self._clock,
                self._dpop(place, challenge),
            )
            tokens = yield from grant.obtain(desk, place, self.endpoint, scope)
            self._settle(
                tokens,
                client=None,
                resource=place.resource,
                token_endpoint=server.token_endpoint,
                revocation_endpoint=server.revocation_endpoint,
            )
            return
        pending = yield from self._begin(place, scope, challenge)
        if not self._application.interactive:
            raise AuthorizationRequiredError(
                f"a user has to sign in at {place.server.issuer} before {self.endpoint} can be used",
                url=pending.url,
            )
        callback: str = yield AskUser(pending.url, str(pending.kept["redirect_uri"]))
        yield from self.complete(callback)

    def begin(self) -> Flow[Pending]:
        """Prepare to send the user to sign in; :meth:`complete` takes the answer, here or elsewhere.

        Raises:
            OAuthError: There is no way to sign in.
        """
        place = yield from discover(self.endpoint, None)
        scope = chosen(None, place.scopes_supported, self._application.scope, place.server.scopes_supported)
        return (yield from self._begin(place, scope, None))

    def _begin(self, place: Place, scope: tuple[str, ...], challenge: Challenge | None) -> Flow[Pending]:
        redirect_uri = self._application.redirect_uri
        if redirect_uri is None:
            raise AuthorizationRequiredError(
                f"{self.endpoint} wants a user to sign in, and OAuthConfig has no way to ask one"
            )
        client = yield from self._client(place, redirect_uri, scope)
        pending = begin(
            place,
            client,
            redirect_uri=redirect_uri,
            scope=scope,
            dpop=self._dpop(place, challenge) is not None,
            tag=self._application.tag,
            random=self._random,
            clock=self._clock,
        )
        self.record.add_pending(pending.state, pending.kept, self._clock())
        return pending

    def complete(self, callback_url: str) -> Flow[None]:
        """Take the URL that the user came back to, and get the tokens.

        Raises:
            OAuthError: It belongs to no sign-in of this user that waits, or says no.
        """
        state = state_of(callback_url) or ""
        kept = self.record.take_pending(state, self._clock())
        if kept is None:
            raise OAuthError("no sign-in of this user waits for that answer: it came too late, or twice")
        code = code_from(callback_url, state, kept)
        client = Client.from_json(kept.get("client"))
        if client is None:
            raise OAuthError("what was kept of the sign-in cannot be read")
        issuer, token_endpoint = str(kept["issuer"]), checked(kept.get("token_endpoint"), "token_endpoint")
        prover = self._prover if kept.get("dpop") else None
        desk = Desk(issuer, token_endpoint, client, self._random, self._clock, prover)
        tokens = yield from desk.ask(exchange_form(code, kept), tuple(str(kept.get("scope", "")).split()))
        self._settle(
            tokens,
            client=client,
            resource=kept.get("resource"),
            token_endpoint=token_endpoint,
            revocation_endpoint=kept.get("revocation_endpoint"),
        )

    def _settle(
        self,
        tokens: Tokens,
        *,
        client: Client | None,
        resource: str | None,
        token_endpoint: str,
        revocation_endpoint: str | None,
    ) -> None:
        self.record.settle(
            tokens,
            endpoint=self.endpoint,
            client=client,
            resource=resource,
            token_endpoint=token_endpoint,
            revocation_endpoint=revocation_endpoint,
        )
        self._deeds.append("obtain")

    def _client(self, place: Place, redirect_uri: str, scope: tuple[str, ...]) -> Flow[Client]:
        """Find out what the authorization server knows the application as; register it at last."""
        server, application = place.server, self._application
        if application.client_id is not None and application.issuer in (None, server.issuer):
            method = method_for(application.client_secret, server)
            return Client(application.client_id, application.client_secret, method, server.issuer)
        if application.metadata_url is not None and server.takes_metadata_documents:
            return Client(application.metadata_url, None, NONE, server.issuer)
        kept = Client.from_json(self.registrations.get(server.issuer))
        if kept is not None and kept.redirect_uri == redirect_uri and not kept.expired(self._clock()):
            return kept
        client = yield from register(server, redirect_uri=redirect_uri, name=application.name, scopes=scope)
        self.registrations[server.issuer] = client.to_json()
        return client

    def _dpop(self, place: Place, challenge: Challenge | None) -> Prover | None:
        """Say whether tokens are to be bound to our key."""
        demanded = place.dpop_required or (challenge is not None and challenge.scheme == "dpop")
        if self._prover is None:
            if place.dpop_required:
                raise OAuthError(f"{self.endpoint} wants DPoP: pip install 'routermcp[oauth]'")
            return None
        return self._prover if demanded or ALGORITHM in place.server.dpop_algorithms else None

    def revoke(self) -> Flow[None]:
        """Give the tokens back, and note that the user wants no more."""
        tokens, endpoint = self.tokens, self.record.text("revocation_endpoint")
        client = self.record.client
        self.record.forget_tokens()
        self.record.members["revoked"] = True
        self._deeds.append("revoke")
        if tokens is not None and endpoint is not None:
            yield from revoke(checked(endpoint, "revocation_endpoint"), client, tokens)
