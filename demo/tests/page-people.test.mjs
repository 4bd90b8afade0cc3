// The people of a room can be told apart, and are all within reach.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { launch, Person } from './browser.mjs'

const EIGHT = ['Ada', 'Grace', 'Hedy', 'Radia', 'Barbara', 'Katherine', 'Margaret', 'Mary']

async function eight (t, options = {}) {
  const server = await Server.start(t)
  const browser = await launch(t)
  const people = []
  for (const name of EIGHT) people.push(await Person.open(t, browser, server, 'r', name, name === 'Ada' ? options : {}))
  for (const person of people) await person.connected()
  return people
}

/** Each person's colour as a page shows it, by name. */
async function colours ({ page }) {
  return await page.locator('.entry').evaluateAll(entries => Object.fromEntries(entries.map(entry =>
    [entry.querySelector('.name').textContent.replace(/ \(you\)|, in .*/g, ''), entry.style.getPropertyValue('--person')])))
}

async function agreed (people, count) {
  let seen
  await until('all see the same people, each with a colour of its own', async () => {
    seen = await Promise.all(people.map(colours))
    const all = seen.map(colours => JSON.stringify(Object.entries(colours).sort()))
    return new Set(all).size === 1 && Object.keys(seen[0]).length === count && new Set(Object.values(seen[0])).size === count
  }, 60).catch(error => { throw new Error(`${error.message}: ${JSON.stringify(seen)}`) })
  return seen[0]
}

const luminance = hex => [0, 1, 2].map(at => parseInt(hex.slice(1 + 2 * at, 3 + 2 * at), 16) / 255)
  .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0)
const contrast = (one, other) => {
  const [more, less] = [luminance(one), luminance(other)].sort((a, b) => b - a)
  return (more + 0.05) / (less + 0.05)
}

test('eight people who chose the same colour get eight colours, all pages agree, and the first keeps hers', async t => {
  const people = await eight(t)
  const before = await agreed(people, 8)
  assert.equal(before.Ada, '#1971c2')
  const [ada, grace] = people
  await grace.reload()
  await grace.connected()
  assert.deepEqual(await agreed(people, 8), before)

  await ada.page.getByRole('button', { name: /^You, Ada/ }).first().click()
  const choices = await ada.page.getByRole('radio').evaluateAll(swatches => swatches.map(({ value, disabled, title }) => ({ value, disabled, title })))
  assert.deepEqual(choices.filter(({ disabled }) => disabled).map(({ value }) => value).sort(), EIGHT.slice(1).map(name => before[name]).sort())
  assert.ok(choices.some(({ title }) => title.endsWith(': Grace has it')))
  for (const { value, title } of choices) {
    assert.ok(contrast(value, '#ffffff') >= 4.5, `white letters on ${title}: ${contrast(value, '#ffffff')}`)
    assert.ok(contrast(value, '#1a1d24') >= 3, `${title} on the dark page: ${contrast(value, '#1a1d24')}`)
  }
  assert.deepEqual(people.flatMap(({ complaints }) => complaints), [])
})

test('a second window of a browser, and a duplicated one, are people of their own, and stay so over a reload', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada')
  const grace = await Person.open(t, browser, server, 'r', 'Grace')
  await ada.page.getByRole('button', { name: /^You, Ada/ }).click()
  await ada.page.getByLabel('Name', { exact: true }).fill('Ada Lovelace')
  await ada.press('Enter')
  await grace.page.getByRole('button', { name: 'Follow Ada Lovelace, in CodeMirror' }).waitFor()

  const [second] = await Promise.all([ada.context.waitForEvent('page'), ada.page.getByRole('link', { name: 'Second window' }).click()])
  await second.getByRole('button', { name: 'You, Ada Lovelace 2: change name and colour' }).first().waitFor()
  // As when a tab is duplicated, the new one begins with a copy of this one's session storage.
  const [third] = await Promise.all([ada.context.waitForEvent('page'), ada.page.evaluate(() => { window.open(location.href) })])
  await third.getByRole('button', { name: 'You, Ada Lovelace 3: change name and colour' }).first().waitFor()
  const windows = [ada, grace, { page: second }, { page: third }]
  const before = await agreed(windows, 4)
  assert.deepEqual(Object.keys(before).sort(), ['Ada Lovelace', 'Ada Lovelace 2', 'Ada Lovelace 3', 'Grace'])

  for (const page of [ada.page, second]) {
    await page.reload()
    await page.locator('#panel-codemirror[data-ready]').waitFor()
  }
  assert.deepEqual(await agreed(windows, 4), before)
  assert.deepEqual([...ada.complaints, ...grace.complaints], [])
})

for (const phone of [false, true]) {
  test(`with eight people the header is one row ${phone ? 'on a phone' : 'on a desk'}, and all of them are within reach`, async t => {
    const [ada, ...others] = await eight(t, { phone })
    const { page } = ada
    const widths = phone ? [360] : [1180, 800, 660]
    for (const width of widths) {
      await page.setViewportSize({ width, height: 740 })
      await until(`the people fit into ${width}`, () => page.evaluate(() => {
        const places = [...document.querySelectorAll('header > *')].map(element => element.getBoundingClientRect()).filter(({ width }) => width > 0)
        const whole = document.querySelector('.whole').getBoundingClientRect()
        const people = document.querySelector('.people').getBoundingClientRect()
        const isRow = places.every(({ top, bottom }) => top < places[0].bottom && bottom > places[0].top)
        return isRow && whole.left >= people.left - 1 && document.documentElement.scrollWidth <= innerWidth
      }))
      assert.ok(await page.getByRole('button', { name: 'Light or dark' }).isVisible())
    }
    const more = page.getByRole('button', { name: /^\+\d people: show all 8$/ })
    await more.focus()
    await ada.press('Enter')
    const list = page.getByRole('list', { name: 'All people in this room' })
    assert.deepEqual((await list.getByRole('button').allTextContents()).map(text => text.replace(', in CodeMirror', '')).sort(), ['Ada (you)', ...EIGHT.slice(1)].sort())
    await ada.press('Escape')
    await list.waitFor({ state: 'hidden' })
    assert.ok(await more.evaluate(element => element === document.activeElement))
    await ada.press('Enter')
    await list.getByRole('button', { name: 'Follow Mary, in CodeMirror' }).click()
    await page.getByRole('button', { name: /^Following Mary/ }).waitFor()
    assert.deepEqual([ada, ...others].flatMap(({ complaints }) => complaints), [])
  })
}

test('names keep what joins their letters, are cut between letters, and hide nothing', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const family = '👩‍👩‍👧‍👦'
  const persian = 'نیم\u200cفاصله'
  const cases = [
    [family, family, family],
    [persian, persian, 'ن'],
    [family.repeat(40), family.repeat(18), family],
    ['x'.repeat(31) + '🇩🇪🇩🇪', 'x'.repeat(31) + '🇩🇪', 'x'],
    ['\u202eevil\u202c\u0007 \u2066Bob\u2069', 'evil Bob', 'e'],
    ['e\u0301lodie', 'e\u0301lodie', 'e\u0301'],
    ['\u200d\u200c', 'Grace', 'G'],
  ]
  const ada = await Person.open(t, browser, server, 'r', 'Ada')
  for (const [typed, shown, initial] of cases) {
    const grace = await Person.open(t, browser, server, 'r', 'Grace')
    await grace.page.getByRole('button', { name: /^You, Grace/ }).click()
    await grace.page.getByLabel('Name', { exact: true }).fill(typed)
    await grace.press('Enter')
    const avatar = ada.page.locator('.avatar').nth(1)
    await until(`Ada sees ${shown}`, async () => await avatar.locator('.name').textContent() === shown)
    assert.equal(await avatar.locator('.face').getAttribute('data-initial'), initial)
    await grace.context.close()
    await until('Grace is gone', async () => await ada.page.locator('.avatar').count() === 1)
  }
  assert.deepEqual(ada.complaints, [])
})
