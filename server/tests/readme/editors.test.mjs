// README's page for each client, as a newcomer makes it: the line that installs its packages is run in an empty directory, the lines
// are built by Vite, and two people open them in Chromium. Only the address of the server is another.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import test from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { launch } from '../../../demo/tests/browser.mjs'
import { Server, until } from '../clients/harness.mjs'
import { connect, lines } from './lines.mjs'

const vite = await import(pathToFileURL(createRequire(new URL('../../../demo/package.json', import.meta.url)).resolve('vite')))

// Without the settings of the npm that runs this test.
const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.toLowerCase().startsWith('npm_')))
const NPM = { npm_config_prefer_offline: 'true', npm_config_audit: 'false', npm_config_fund: 'false', npm_config_update_notifier: 'false' }

/** README's page with the lines for a client, served to people in browsers of their own. */
class Site {
  complaints = []

  /** `others` has the languages of further files. */
  static async of (t, heading, others = {}) {
    const [server, browser] = [await Server.start(t), await launch(t)]
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'coscribe-readme-'))
    t.after(() => fs.rmSync(root, { recursive: true }))
    const options = { cwd: root, env: { ...ENVIRONMENT, ...NPM } }
    const { stderr } = await promisify(execFile)('bash', ['--norc', '-euc', lines('README.md', heading, 'sh')], options)
    assert.doesNotMatch(stderr, /ERESOLVE|peer/, 'the versions fit')
    const write = (name, code) => fs.writeFileSync(path.join(root, name), code)
    write('index.html', lines('README.md', 'Plug an editor in', 'html'))
    write('main.js', lines('README.md', heading, 'js', { 'ws://localhost:1234': server.url }))
    for (const [name, language] of Object.entries(others)) write(name, lines('README.md', heading, language))
    const config = { root, configFile: false, logLevel: 'error' }
    await vite.build(config)
    const preview = await vite.preview({ ...config, preview: { host: '127.0.0.1', port: 0 } })
    t.after(() => preview.close())
    return new Site(server, browser, `http://127.0.0.1:${preview.httpServer.address().port}/`)
  }

  constructor (server, browser, url) { Object.assign(this, { server, browser, url }) }

  /** The page as somebody has it open. */
  async open () {
    const page = await (await this.browser.newContext()).newPage()
    page.on('pageerror', error => this.complaints.push(`thrown: ${error}`))
    page.on('console', message => {
      if (message.type() === 'error' && !message.location().url.endsWith('/favicon.ico')) this.complaints.push(message.text())
    })
    await page.goto(this.url)
    return page
  }
}

test('the Vite that README starts is the one that builds its pages here', () => {
  assert.equal(lines('README.md', 'Plug an editor in', 'sh'), `npx --yes vite@${vite.version}\n`)
})

const sees = (page, selector, text) => page.locator(selector).filter({ hasText: text }).waitFor({ timeout: 60_000 })

async function type (page, content, text) {
  await page.locator(content).click()
  await page.keyboard.press('ControlOrMeta+End')
  await page.keyboard.type(text)
}

const EDITORS = {
  'CodeMirror, with y-websocket': { content: '.cm-content', caret: '.cm-ySelectionCaret', name: '.cm-ySelectionInfo' },
  'Tiptap, with Hocuspocus': { content: '.ProseMirror', caret: '.collaboration-carets__caret', name: '.collaboration-carets__label', others: { 'caret.css': 'css' } },
  'BlockNote, with Hocuspocus': { content: '.ProseMirror', caret: '.bn-collaboration-cursor__caret', name: '.bn-collaboration-cursor__label' }
}

for (const [heading, { content, caret, name, others }] of Object.entries(EDITORS)) {
  test(`${heading}: two people write together, and see each other's caret and name`, async t => {
    const site = await Site.of(t, heading, others)
    const [one, two] = [await site.open(), await site.open()]
    await type(one, content, 'from the first')
    await sees(two, content, 'from the first')
    await two.locator(caret).waitFor()
    const label = two.locator(name)
    assert.equal((await label.textContent()).replace(/\u2060/g, ''), 'Ada')
    assert.equal(await label.evaluate(element => getComputedStyle(element).position), 'absolute', 'it moves no text')
    await type(two, content, ', and the second')
    await sees(one, content, 'from the first, and the second')
    assert.deepEqual(site.complaints, [])
  })
}

test('Without an editor: two people vote together', async t => {
  const site = await Site.of(t, 'Without an editor: y-websocket')
  const [one, two] = [await site.open(), await site.open()]
  for (const page of [one, two]) await page.locator('body').click()
  for (const page of [one, two]) await sees(page, 'body', '2 votes')
  assert.deepEqual(site.complaints, [])
})

test('Yjs 14: what the lines write is there', async t => {
  const site = await Site.of(t, 'Yjs 14, with @y/websocket')
  await site.open()
  const [attributes, text] = [1, 2].map(() => connect(t, site.server, 'team/plan').doc) // in Yjs 13 a root has one of both
  await until('the attribute and the text have come', () => {
    return attributes.getMap('plan').get('title') === 'Our plan' && text.getText('plan').toString() === 'Once upon a time'
  })
  assert.deepEqual(site.complaints, [])
})
