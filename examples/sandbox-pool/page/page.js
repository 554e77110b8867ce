// Shows each status that the service sends. The picture is drawn anew each time: it has as many boxes as there are layers.
const $ = id => document.getElementById(id)
const SVG = 'http://www.w3.org/2000/svg'
const ROW = 44
const BOX = 34
const INDENT = 24

/** The newest status, to draw again when the window changes its width. */
let shown

const bytes = count => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const unit = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(count) / 10))
  return `${(count / 1024 ** unit).toFixed(unit === 0 || count / 1024 ** unit >= 100 ? 0 : 1)} ${units[unit]}`
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children)
  return made
}

function drawn(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(...children)
  return made
}

function showSpace(id, space) {
  $(id).max = space?.totalBytes ?? 1
  $(id).value = space?.usedBytes ?? 0
  $(`${id}-text`).textContent = space
    ? `${bytes(space.usedBytes)} of ${bytes(space.totalBytes)}`
    : 'not known: the pool has failed'
}

function showSandboxes({ sandboxes, layers, max, warm }) {
  $('count').textContent = `${sandboxes.length} of at most ${max}; ${warm} more are kept ready.`
  $('make').disabled = sandboxes.length >= max
  const own = new Map(layers.map(layer => [layer.key, layer.ownBytes]))
  const before = new Map([...$('sandboxes').children].map(item => [item.dataset.id, item]))
  const items = sandboxes.map(sandbox => {
    // What is there stays, so that a button does not lose the focus.
    const item = before.get(sandbox.id) ?? sandboxItem(sandbox)
    const text = `${bytes(own.get(`sandbox-${sandbox.id}`) ?? 0)} written, of ${bytes(sandbox.sizeBytes)}`
    item.querySelector('.quiet').textContent = text
    return item
  })
  for (const [id, item] of before) if (!sandboxes.some(sandbox => sandbox.id === id)) item.remove()
  items.forEach((item, index) => {
    if ($('sandboxes').children[index] !== item) $('sandboxes').insertBefore(item, $('sandboxes').children[index])
  })
}

function sandboxItem({ id, path }) {
  const button = element('button', { type: 'button', textContent: 'Remove', ariaLabel: `Remove sandbox ${id}` })
  button.addEventListener('click', () => ask(button, 'DELETE', `sandboxes/${id}`))
  const item = element(
    'li',
    {},
    element('div', {}, element('code', { textContent: path }), element('br'), element('span', { className: 'quiet' })),
    button,
  )
  item.dataset.id = id
  return item
}

/** The layers, each after its parent. */
function inOrder(layers) {
  const order = []
  const add = (parent, depth) => {
    for (const layer of layers.filter(each => each.parent === parent)) {
      order.push({ ...layer, depth })
      add(layer.key, depth + 1)
    }
  }
  add('', 0)
  return order
}

function draw(layers) {
  const order = inOrder(layers)
  const width = Math.max(240, $('picture').clientWidth)
  const height = Math.max(1, order.length) * ROW
  const rowOf = new Map(order.map(({ key }, row) => [key, row]))
  const text = order.map(({ key, kind, parent, ownBytes }) => {
    return `${key}, ${kind}${parent ? `, on ${parent}` : ''}, ${bytes(ownBytes)}`
  })
  const lines = order.map(({ parent, depth }, row) => {
    if (depth === 0) return ''
    const x = (depth - 1) * INDENT + 12
    return `M${x} ${rowOf.get(parent) * ROW + BOX + 1}V${row * ROW + BOX / 2 + 1}H${depth * INDENT}`
  })
  const boxes = order.map(({ key, kind, ownBytes, depth }, row) => {
    const x = depth * INDENT + 1
    const middle = row * ROW + BOX / 2 + 6
    const room = Math.floor((width - x - 100) / 8.5)
    return drawn(
      'g',
      { class: kind },
      drawn('rect', { x, y: row * ROW + 1, width: width - x - 2, height: BOX, rx: 6 }),
      drawn('text', { x: x + 10, y: middle }, key.length > room ? `${key.slice(0, room - 1)}…` : key),
      drawn('text', { x: width - 12, y: middle, class: 'own' }, bytes(ownBytes)),
    )
  })
  const label = `${order.length} layers: ${text.join('; ')}`
  const picture = drawn(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, height, role: 'img', 'aria-label': label },
    drawn('path', { d: lines.join('') }),
    ...boxes,
  )
  $('picture').replaceChildren(picture)
}

function show(status) {
  shown = status
  const { name, mode, data, metadata } = status.pool
  $('pool-name').textContent = name
  $('state').textContent = mode === 'rw' ? 'live' : `live; the pool's mode is ${mode}`
  showSpace('data', data)
  showSpace('metadata', metadata)
  showSandboxes(status)
  draw(status.layers)
}

function complain(text) {
  $('fault').textContent = text
  $('fault').hidden = text === ''
}

async function ask(button, method, url) {
  button.disabled = true
  try {
    const response = await fetch(url, { method })
    complain(response.ok ? '' : await response.json().then(({ code, message }) => `${code}: ${message}`))
  } catch (fault) {
    complain(`the service does not answer: ${fault.message}`)
  } finally {
    button.disabled = false
  }
}

$('make').addEventListener('click', () => ask($('make'), 'POST', 'sandboxes'))
window.addEventListener('resize', () => shown && draw(shown.layers))

const events = new EventSource('events') // which comes back by itself after the service was away
events.addEventListener('status', ({ data }) => {
  const status = JSON.parse(data)
  if (status.fault) complain(`${status.fault.code}: ${status.fault.message}`)
  else show(status)
})
events.addEventListener('error', () => ($('state').textContent = 'not connected; trying again'))
