// The routes.
import { readFile } from 'node:fs/promises'
import { Hono, type Context } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { secureHeaders } from 'hono/secure-headers'
import { streamSSE } from 'hono/streaming'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Feed } from './feed.mjs'
import { answerTo, Refusal } from './refusal.mjs'
import type { Sandboxes } from './sandboxes.mjs'

const PAGE = new URL('../page/', import.meta.url)
const FILES = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/page.css': ['page.css', 'text/css; charset=utf-8'],
  '/page.js': ['page.js', 'text/javascript; charset=utf-8'],
} as const
const POLICY = { defaultSrc: ["'self'"], imgSrc: ["'self'", 'data:'], frameAncestors: ["'none'"] }
const MAX_BODY_BYTES = 4096

export function makeApp(sandboxes: Sandboxes, feed: Feed): Hono {
  const app = new Hono()
  app.use(secureHeaders({ contentSecurityPolicy: POLICY }))
  app.use(bodyLimit({ maxSize: MAX_BODY_BYTES }))
  app.use(async (c, next) => {
    refuseOtherSites(c)
    await next()
  })

  app.post('/sandboxes', async c => c.json(await sandboxes.make(await sizeAskedFor(c)), 201))
  app.get('/sandboxes', c => c.json(sandboxes.list()))
  app.delete('/sandboxes/:id', async c => {
    await sandboxes.remove(c.req.param('id'))
    return c.body(null, 204)
  })
  app.get('/status', async c => c.json(await sandboxes.status()))
  app.get('/metrics', async c => {
    const { registry } = sandboxes
    return c.body(await registry.metrics(), 200, { 'Content-Type': registry.contentType })
  })
  app.get('/events', c =>
    streamSSE(c, async stream => {
      const gone = new AbortController()
      stream.onAbort(() => gone.abort())
      for await (const data of feed.follow(gone.signal)) await stream.writeSSE({ event: 'status', data })
    }),
  )
  for (const [route, [file, type]] of Object.entries(FILES)) {
    app.get(route, async c => c.body(await readFile(new URL(file, PAGE), 'utf8'), 200, { 'Content-Type': type }))
  }

  app.notFound(c => c.json({ code: 'SANDBOX_ROUTE', message: `nothing is at ${c.req.path}` }, 404))
  app.onError((fault, c) => {
    const { status, body } = answerTo(fault)
    if (status >= 500 && !(fault instanceof Refusal)) console.error(fault)
    if (status === 429 || status === 503) c.header('Retry-After', '1')
    return c.json(body, status as ContentfulStatusCode)
  })
  return app
}

/** A browser says for which site it asks: pages of others are not to make sandboxes here. */
function refuseOtherSites(c: Context): void {
  const origin = c.req.header('Origin')
  if (origin === undefined || origin === new URL(c.req.url).origin) return
  throw new Refusal(403, 'SANDBOX_ORIGIN', `not for pages of ${origin}`)
}

async function sizeAskedFor(c: Context): Promise<number | undefined> {
  const text = await c.req.text()
  if (text === '') return undefined
  const wrong = new Refusal(400, 'SANDBOX_BODY', 'the body must be nothing, or JSON: { "sizeBytes": a whole number }')
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw wrong
  }
  if (typeof body !== 'object' || body === null || Object.keys(body).some(name => name !== 'sizeBytes')) throw wrong
  const { sizeBytes } = body as { sizeBytes?: unknown }
  if (sizeBytes === undefined) return undefined
  if (typeof sizeBytes !== 'number' || !Number.isSafeInteger(sizeBytes)) throw wrong
  return sizeBytes
}
