// Starts the service, and ends it with everything that it made.
import { once } from 'node:events'
import type { Server } from 'node:http'
import { serve } from '@hono/node-server'
import { makeApp } from './app.mjs'
import { Feed } from './feed.mjs'
import { Sandboxes } from './sandboxes.mjs'
import { settingsOf } from './settings.mjs'

const settings = settingsOf(process.env)
const sandboxes = await Sandboxes.open(settings)
const feed = new Feed(() => sandboxes.status())
sandboxes.onChange = () => feed.changed()

const { fetch } = makeApp(sandboxes, feed)
const { host: hostname, port } = settings
const server = serve({ fetch, hostname, port }, address => {
  console.log(`listening on http://${hostname}:${address.port}`)
}) as Server
const failed = new AbortController()
server.once('error', fault => {
  console.error(fault) // the port is taken, say
  process.exitCode = 1
  failed.abort()
})

await Promise.race([
  once(process, 'SIGTERM'),
  once(process, 'SIGINT'),
  once(failed.signal, 'abort'), // a second signal ends the process at once; the next start clears what that leaves
])
// Streams end, calls under way are answered, and then nobody asks for sandboxes any more.
await feed.end()
if (server.listening) {
  server.close()
  await once(server, 'close')
}
await sandboxes.close()
console.log('all sandboxes are removed')
