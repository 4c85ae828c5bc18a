// Asks one question of the verifier as a resource server does that uses
// oauth4webapi. What to ask comes as JSON on standard input, so that no token is
// on a command line; the answer goes to standard output as JSON.
import * as oauth from 'oauth4webapi'
import { text } from 'node:stream/consumers'

const ask = JSON.parse(await text(process.stdin))
const server = {
  issuer: ask.url,
  introspection_endpoint: ask.url + '/introspect',
  revocation_endpoint: ask.url + '/revoke',
}
const client = { client_id: 'resource-server' }

// How a client proves who it is: as RFC 6749 section 2.3.1 says, or with a bearer
// token, as RFC 7662 section 2.1 allows.
const authentication = {
  basic: () => oauth.ClientSecretBasic(ask.credential),
  bearer: () => (_server, _client, _body, headers) => headers.set('authorization', `Bearer ${ask.credential}`),
  none: () => oauth.None(),
}[ask.authentication]()

async function introspect() {
  const options = { additionalParameters: ask.clientIP ? { client_ip: ask.clientIP } : {} }
  const response = await oauth.introspectionRequest(server, client, authentication, ask.token, options)
  return oauth.processIntrospectionResponse(server, client, response)
}

async function revoke() {
  const response = await oauth.revocationRequest(server, client, authentication, ask.token)
  await oauth.processRevocationResponse(response)
  return { revoked: true }
}

let answer
try {
  answer = await { introspect, revoke }[ask.what]()
} catch (err) {
  // What the library makes of a refusal.
  answer = { name: err.name, code: err.code, status: err.status ?? err.cause?.status, error: err.error, challenges: err.cause?.map?.((each) => each.scheme) }
}
console.log(JSON.stringify(answer))
