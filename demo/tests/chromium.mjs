// Sees to it that there is a Chromium to test with: finds it, or installs it.

import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { findChromium } from './browser.mjs'

const run = (command, ...args) => execFileSync(command, args, { stdio: 'inherit', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })

function hasApt () {
  try {
    execFileSync('apt-get', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

if (findChromium() === undefined) {
  if (process.getuid?.() === 0 && hasApt()) {
    run('apt-get', 'update')
    run('apt-get', 'install', '--yes', '--no-install-recommends', 'chromium', 'fonts-dejavu-core')
  } else {
    run(process.execPath, path.resolve(import.meta.dirname, '../node_modules/playwright-core/cli.js'), 'install', 'chromium')
  }
}
const found = findChromium()
if (found === undefined) throw new Error('There is no Chromium for the browser tests. Install it, or say where it is by CHROMIUM_PATH.')
console.log(`Chromium: ${found}`)
