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
const failed = once(server, 'error').then(([fault]) => {
  console.error(fault) // the port is taken, say
  process.exitCode = 1
})

await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT'), failed])
await feed.end() // every stream of events
server.close() // no new connections
await sandboxes.close() // answers what is under way, and refuses what still comes
server.closeAllConnections() // a browser keeps some open on which it has never asked anything
console.log('all sandboxes are removed')
