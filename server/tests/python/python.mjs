// Python with the packages that the tests need, which `install` puts into a virtual environment beside this file.

import fs from 'node:fs'
import path from 'node:path'

const INTERPRETER = path.join(import.meta.dirname, '.venv/bin/python')

/** The interpreter; null where it is missing, and then the test is skipped, unless COSCRIBE_REQUIRE_PYTHON is set. */
export function python (t) {
  if (fs.existsSync(path.join(import.meta.dirname, '.venv/installed'))) return INTERPRETER
  const missing = 'Python\'s packages are not installed: server/tests/python/install'
  if (process.env.COSCRIBE_REQUIRE_PYTHON) throw new Error(missing)
  t.skip(missing)
  return null
}
