// What axe finds: nothing, in any editor, by light and dark, on a desk and on a phone, with menus and dialogs open, too.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { launch, Person, TITLES } from './browser.mjs'

const AXE = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

// All that is on by default, and two rules that are not.
const OPTIONS = { rules: { 'target-size': { enabled: true }, 'label-content-name-mismatch': { enabled: true } } }

// Monaco lays its search box out in code, with sizes that no option changes.
const VENDORS = { 'target-size': '.monaco-editor .find-widget' }

const MARKDOWN = '# Title\n\nSome *words*, `code`, **more** and [a link](https://example.com).\n\n- a list\n\n> a quote\n\n```js\nlet a = 1\n```\n'

async function findings ({ page }) {
  if (await page.evaluate(() => window.axe === undefined)) await page.evaluate(AXE) // the page's policy keeps out a script element
  return await page.evaluate(async ([options, vendors]) => {
    const { violations } = await window.axe.run(options)
    const isVendors = (id, [target]) => vendors[id] !== undefined && document.querySelector(target)?.closest(vendors[id]) !== null
    return violations.flatMap(({ id, nodes }) => nodes.filter(({ target }) => !isVendors(id, target)).map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary}`))
  }, [OPTIONS, VENDORS])
}

/** What is shown, and how it is brought about; each begins where the one before has ended. */
async function * states (ada, grace) {
  const { page } = ada
  for (const editor of Object.keys(TITLES)) {
    await Promise.all([ada.go(editor), grace.go(editor)])
    await ada.connected()
    yield `${editor}, empty`
    await write(ada, grace, editor)
    yield editor
    yield * EXTRA[editor]?.(ada) ?? []
  }
  await page.getByRole('button', { name: 'Follow Grace' }).click()
  await page.locator('.followed').waitFor()
  yield 'following'
  await page.locator('.followed').click()
  await page.getByRole('button', { name: /^You, Ada/ }).first().click()
  yield 'the profile'
  await page.getByRole('button', { name: 'Done' }).click()
  await page.getByRole('button', { name: /^About/ }).click()
  yield 'about'
  await page.getByRole('button', { name: 'Got it' }).click()
  await page.getByText('Under the hood').click()
  yield 'under the hood'
  await ada.cut()
  await ada.banner.waitFor()
  yield 'cut'
}

async function write (ada, grace, editor) {
  if (editor === 'whiteboard') return
  await ada.type(editor, '')
  await ada.page.keyboard.insertText(editor === 'codemirror' ? MARKDOWN : 'const text: string = "by Ada" // said\n')
  await grace.type(editor, 'by Grace')
  await until('Grace is seen', async () => /by Grace/.test(await ada.text(editor)))
}

const EXTRA = {
  async * codemirror (ada) {
    await ada.press('ControlOrMeta+f')
    await ada.page.locator('.cm-search').waitFor()
    yield 'codemirror, searching'
    await ada.press('Escape')
  },
  async * quill ({ page }) {
    await page.locator('.ql-picker-label').click()
    yield 'quill, choosing a heading'
    await page.locator('.ql-picker-label').click()
    await page.locator('.ql-editor').click()
    await page.keyboard.press('ControlOrMeta+a')
    await page.locator('button.ql-link').click()
    yield 'quill, making a link'
    await page.locator('.ql-editor').click()
  },
  async * monaco (ada) {
    await ada.type('monaco', '')
    await ada.press('ControlOrMeta+h')
    await ada.page.locator('.find-widget.visible').waitFor()
    yield 'monaco, searching'
    await ada.press('Escape')
  },
  async * whiteboard ({ page }) {
    for (const name of ['Rectangle', 'Note']) {
      await page.getByRole('button', { name, exact: true }).focus()
      await page.keyboard.press('Enter')
    }
    await page.keyboard.type('a note')
    yield 'whiteboard, with a note'
  },
}

for (const phone of [false, true]) {
  for (const dark of [false, true]) {
    test(`nothing is found ${phone ? 'on a phone' : 'on a desk'} in ${dark ? 'dark' : 'light'}`, async t => {
      const server = await Server.start(t)
      const browser = await launch(t)
      const [ada, grace] = [await Person.open(t, browser, server, 'r', 'Ada', { dark, phone }), await Person.open(t, browser, server, 'r', 'Grace')]
      const found = []
      for await (const state of states(ada, grace)) {
        found.push(...(await findings(ada)).map(finding => `${state}: ${finding}`))
      }
      assert.equal(found.join('\n'), '')
      assert.deepEqual([...ada.complaints, ...grace.complaints], [])
    })
  }
}
