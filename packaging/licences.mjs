// Writes the licences of everything that is in the binary: the crates it is linked from, and the packages of the demo.

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'

const ROOT = path.resolve(import.meta.dirname, '..')
const TARGET = 'x86_64-unknown-linux-musl'
const IS_LICENCE = /^(licen[cs]e|copying|copyright|notice|unlicense)/i

/** The crates that the server is linked from, without ours: `name`, `version`, `licence`, `source`, `directory`. */
function crates () {
  const metadata = JSON.parse(execFileSync(
    'cargo', ['metadata', '--format-version', '1', '--locked', '--filter-platform', TARGET],
    { cwd: ROOT, maxBuffer: 1 << 30 }
  ))
  const nodes = new Map(metadata.resolve.nodes.map(node => [node.id, node]))
  const linked = new Set()
  const link = id => {
    if (linked.has(id)) return
    linked.add(id)
    for (const { pkg, dep_kinds: kinds } of nodes.get(id).deps) {
      if (kinds.some(({ kind }) => kind === null)) link(pkg)
    }
  }
  link(metadata.packages.find(({ name, source }) => name === 'coscribe' && source === null).id)
  return metadata.packages.filter(({ id, source }) => linked.has(id) && source !== null).map(crate => ({
    name: crate.name, version: crate.version, licence: crate.license, source: crate.repository, directory: path.dirname(crate.manifest_path)
  }))
}

/** The packages that the demo is built of. */
function packages () {
  const { packages } = JSON.parse(fs.readFileSync(path.join(ROOT, 'demo/package-lock.json'), 'utf8'))
  const shipped = Object.entries(packages).filter(([place, { dev, devOptional, optional }]) => place !== '' && !dev && !devOptional && !optional)
  return shipped.map(([place, { version }]) => {
    const directory = path.join(ROOT, 'demo', place)
    const manifest = JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8'))
    const source = manifest.repository?.url ?? manifest.repository ?? manifest.homepage
    return { name: manifest.name, version, licence: manifest.license, source, directory }
  })
}

/** The texts that a package brings. */
function texts ({ directory }) {
  const files = fs.readdirSync(directory).filter(file => IS_LICENCE.test(file)).map(file => path.join(directory, file))
  return files.filter(file => fs.statSync(file).isFile()).map(file => fs.readFileSync(file, 'utf8').replaceAll('\r\n', '\n').trim())
}

const named = ({ name, version }) => `${name} ${version}`
const parts = [['Crates', crates()], ['Packages of the demo', packages()]]
const all = parts.flatMap(([, list]) => list)
const nameless = all.filter(({ licence }) => !licence)
if (nameless.length > 0) throw new Error(`without a licence: ${nameless.map(named).join(', ')}`)

/** Who brings each text; the same text stands once. */
const bringers = new Map()
for (const one of all) {
  for (const text of texts(one)) bringers.set(text, [...bringers.get(text) ?? [], named(one)])
}

const lines = [
  'coscribe contains the following works of others.', '',
  'Libraries of the compiler:', '',
  '  The Rust standard library: MIT OR Apache-2.0; https://github.com/rust-lang/rust',
  '  musl, copyright Rich Felker and others: MIT; https://musl.libc.org', ''
]
for (const [heading, list] of parts) {
  lines.push(`${heading}:`, '', ...list.map(one => `  ${named(one)}: ${one.licence}; ${one.source ?? 'no address given'}`).sort(), '')
}
for (const [text, names] of bringers) lines.push('-'.repeat(100), `Of ${[...new Set(names)].sort().join(', ')}:`, '', text, '')
process.stdout.write(lines.join('\n'))
