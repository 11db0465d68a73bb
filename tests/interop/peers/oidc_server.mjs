// An authorization server on `oidc-provider`, with the paths and the policies that Keycloak documents, and two
// MCP servers that take its tokens: /mcp plain ones, /bound those that are bound to a key.
//
// Run with the Node.js of the tests: `oidc_server.mjs PACKAGE PORT`, where PACKAGE is the folder of the package.
//
// As in Keycloak (https://www.keycloak.org/securing-apps/mcp-authz-server and .../client-registration):
// the issuer is a realm with a path; metadata are at both well-known places; clients register themselves, but
// not for scopes that the realm does not allow; DPoP is offered to all; refresh tokens come without
// `offline_access`, which the realm advertises and refuses, and rotate; `resource` is looked at by nobody.
import http from 'node:http';
import { pathToFileURL } from 'node:url';

const [folder, port] = process.argv.slice(2);
const { default: Provider, errors } = await import(pathToFileURL(`${folder}/lib/index.js`));
const { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } = await import(
  pathToFileURL(`${folder}/../jose/dist/webapi/index.js`)
);

const origin = `http://127.0.0.1:${port}`;
const realm = '/realms/demo';
const protocol = '/protocol/openid-connect';
const registration = '/clients-registrations/openid-connect';
const allowedScopes = ['openid', 'tools'];

const told = { registered: 0, refused_for_scopes: 0, renewed: 0, revoked: 0 };
const clients = new Set();
const issued = new Set();
const ended = new Set();

const provider = new Provider(`${origin}${realm}`, {
  clients: [],
  cookies: { keys: ['only a test'] },
  scopes: [...allowedScopes, 'offline_access'],
  features: {
    devInteractions: { enabled: false },
    dPoP: { enabled: true },
    registration: { enabled: true },
    revocation: { enabled: true, allowedPolicy: (ctx, client, token) => token.clientId === client.clientId },
    resourceIndicators: { enabled: false },
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: () => false,
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (ctx, interaction) => `${origin}/interaction/${interaction.uid}` },
  // Consent was given before.
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope(allowedScopes.join(' '));
    await grant.save();
    return grant;
  },
  routes: {
    authorization: `${protocol}/auth`,
    token: `${protocol}/token`,
    revocation: `${protocol}/revoke`,
    jwks: `${protocol}/certs`,
    userinfo: `${protocol}/userinfo`,
    registration,
  },
});
provider.on('registration_create.success', (ctx, client) => {
  told.registered += 1;
  clients.add(client.clientId);
});
provider.on('access_token.saved', (token) => issued.add(token.jti));
provider.on('refresh_token.consumed', () => (told.renewed += 1));
provider.on('refresh_token.destroyed', () => (told.revoked += 1));
provider.use(async (ctx, next) => {
  const page = ctx.path === `${protocol}/auth` && ctx.method === 'GET';
  if (page && `${ctx.query.scope}`.split(' ').includes('offline_access')) {
    const query = new URLSearchParams({ error: 'invalid_scope', state: ctx.query.state, iss: provider.issuer });
    ctx.redirect(`${ctx.query.redirect_uri}?${query}`);
    return;
  }
  await next();
});
const callback = provider.callback();

function answer(response, status, document, headers = {}) {
  const body = document === undefined ? '' : JSON.stringify(document);
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(body);
}

async function bodyOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

// The token that a request shows, if it is good for this path.
async function tokenOf(request, path) {
  const [scheme, shown = ''] = (request.headers.authorization ?? '').split(' ');
  const token = shown && (await provider.AccessToken.find(shown));
  if (!token || ended.has(token.jti)) return undefined;
  if (path === '/mcp') return scheme === 'Bearer' && !token.jkt ? token : undefined;
  if (scheme !== 'DPoP' || !token.jkt) return undefined;
  const { payload, protectedHeader } = await jwtVerify(request.headers.dpop ?? '', EmbeddedJWK);
  const same = (await calculateJwkThumbprint(protectedHeader.jwk)) === token.jkt;
  return same && payload.htu === `${origin}${path}` && payload.htm === request.method ? token : undefined;
}

async function serveMCP(request, response, path) {
  const body = await bodyOf(request);
  const token = await tokenOf(request, path).catch(() => undefined);
  if (!token) {
    const scheme = path === '/mcp' ? 'Bearer' : 'DPoP algs="ES256",';
    const where = `resource_metadata="${origin}/.well-known/oauth-protected-resource${path}"`;
    answer(response, 401, { error: 'invalid_token' }, { 'WWW-Authenticate': `${scheme} ${where}` });
    return;
  }
  if (request.method !== 'POST') {
    answer(response, request.method === 'DELETE' ? 200 : 405);
    return;
  }
  const { id, method } = JSON.parse(body);
  const results = {
    initialize: {
      protocolVersion: '2025-11-25',
      capabilities: { tools: {} },
      serverInfo: { name: 'realm', version: '1' },
    },
    'tools/list': { tools: [{ name: 'whoami', inputSchema: { type: 'object' } }] },
    'tools/call': { content: [{ type: 'text', text: token.accountId }] },
    ping: {},
  };
  if (id === undefined) answer(response, 202);
  else if (method in results) answer(response, 200, { jsonrpc: '2.0', id, result: results[method] });
  else answer(response, 200, { jsonrpc: '2.0', id, error: { code: -32601, message: 'Method not found' } });
}

// Keycloak's policy "Allowed Client Scopes" refuses the registration whole.
async function register(request, response) {
  const body = await bodyOf(request);
  const asked = `${JSON.parse(body).scope ?? ''}`.split(' ').filter(Boolean);
  if (asked.some((scope) => !allowedScopes.includes(scope))) {
    told.refused_for_scopes += 1;
    const said = "Policy 'Allowed Client Scopes' rejected request to client-registration service.";
    answer(response, 403, { error: 'insufficient_scope', error_description: said });
    return;
  }
  request.body = JSON.parse(body); // as a parser in front leaves it
  callback(request, response);
}

const steering = {
  // End the access tokens, as if their time were up.
  '/end': async () => issued.forEach((jti) => ended.add(jti)),
  // Forget the clients, as a realm does that is imported anew.
  '/forget': async () => {
    await Promise.all([...clients].map((id) => provider.Client.adapter.destroy(id)));
    clients.clear();
    issued.forEach((jti) => ended.add(jti));
  },
  '/told': async () => told,
};

const resourceMetadata = (path) => ({
  resource: `${origin}${path}`,
  authorization_servers: [`${origin}${realm}`],
  scopes_supported: ['tools', 'profile'],
  ...(path === '/bound' && { dpop_bound_access_tokens_required: true }),
});

http
  .createServer(async (request, response) => {
    request.originalUrl = request.url;
    const { pathname } = new URL(request.url, origin);
    const protectedResource = /^\/\.well-known\/oauth-protected-resource(\/mcp|\/bound)$/.exec(pathname);
    if (pathname === '/mcp' || pathname === '/bound') await serveMCP(request, response, pathname);
    else if (pathname in steering) answer(response, 200, await steering[pathname]());
    else if (protectedResource) answer(response, 200, resourceMetadata(protectedResource[1]));
    else if (pathname.startsWith('/interaction/')) {
      await provider.interactionFinished(request, response, { login: { accountId: 'ada' }, consent: {} });
    } else if (pathname === `/.well-known/oauth-authorization-server${realm}`) {
      request.originalUrl = `${realm}/.well-known/openid-configuration`;
      request.url = '/.well-known/openid-configuration';
      callback(request, response);
    } else if (pathname.startsWith(`${realm}/`)) {
      request.url = request.url.slice(realm.length);
      if (pathname === `${realm}${registration}` && request.method === 'POST') await register(request, response);
      else callback(request, response);
    } else answer(response, 404, { error: 'not_found' });
  })
  .listen(Number(port), '127.0.0.1');
