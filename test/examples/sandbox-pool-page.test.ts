// The page of the example service in a browser: live, usable, and as narrow as a phone.
// @udev with
import { Browser } from '../helpers/docs/browser.js'
import { Service } from '../helpers/process/sandbox-service.js'
import { useScratch } from '../helpers/kernel/scratch.js'

const scratch = useScratch()

const count = (selector: string): string => `document.querySelectorAll('${selector}').length`
const text = (id: string): string => `document.getElementById('${id}').textContent`

test('the page lists, creates and deletes sandboxes, and shows when the service has ended', async () => {
  const service = await Service.start(scratch.path('service'), { MOST: 2 })
  const browser = await Browser.start(scratch.path('profile'))
  try {
    await service.ask('POST', '/sandboxes')
    await browser.visit(service.url, 360)
    await browser.until(`${text('state')} === 'live' && ${count('#sandboxes li')} === 1`)
    expect(await browser.evaluate(count('#picture rect'))).toBe(2)
    expect(await browser.evaluate(text('data-text'))).toMatch(/^\d[\d.]* MiB of 1\.0 GiB$/)
    expect(await browser.evaluate('document.documentElement.scrollWidth')).toBe(360)

    await browser.evaluate(`document.getElementById('make').click()`)
    await browser.until(`${count('#sandboxes li')} === 2`)
    await browser.evaluate(`document.querySelector('#sandboxes button').click()`)
    await browser.until(`${count('#sandboxes li')} === 1`)
    // The sandbox leaves the list when its removal begins, and the picture when its layer is gone.
    await browser.until(`${count('#picture rect')} === 2`)
    const label = await browser.evaluate(`document.querySelector('svg').getAttribute('aria-label')`)
    expect(label).toMatch(/^2 layers: base, committed, .*; sandbox-[0-9a-f]{12}, active, on base, /)
    expect(browser.complaints).toEqual([])

    expect((await service.end('SIGTERM')).code).toBe(0)
    await browser.until(`${text('state')}.startsWith('not connected')`)
  } finally {
    await browser.close()
    await service.end('SIGTERM')
  }
})
