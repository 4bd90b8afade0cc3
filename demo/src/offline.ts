/** Keeps the page itself in this browser, with all editors, so that it can be loaded again without a connection. */

const PREFIX = 'coscribe demo '

/** One for each build of the page. */
const CACHE = PREFIX + new URL(import.meta.url).pathname

/** Keeps the page and the files that it has loaded so far, and then the other editors; does nothing where the browser can't. */
export async function keepPage(): Promise<void> {
  // Neither exists where the page was not loaded safely: that is, by plain HTTP from another machine.
  if (import.meta.env.DEV || !('serviceWorker' in navigator) || !('caches' in window)) return
  try {
    await navigator.serviceWorker.register('/sw.js')
    for (const name of await caches.keys()) {
      if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name)
    }
    await keepFiles(await caches.open(CACHE))
    const { active } = await navigator.serviceWorker.ready
    if (maySpend()) active?.postMessage(CACHE)
  } catch {
    // Without a connection, or without space: the page works as well as before.
  }
}

async function keepFiles(cache: Cache): Promise<void> {
  const loaded = performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)
  const files = new Set(loaded.filter(path => path.startsWith('/assets/')))
  for (const { url } of await cache.keys()) files.delete(new URL(url).pathname)
  // The browser has the files already, but not the page under this address.
  await cache.addAll([...await cache.match('/') === undefined ? ['/'] : [], ...files])
}

/** Not the editors that nobody has asked for, where bytes cost money or are slow. Only some browsers say so. */
function maySpend(): boolean {
  const { saveData, effectiveType } = (navigator as { connection?: { saveData?: boolean, effectiveType?: string } }).connection ?? {}
  return saveData !== true && (effectiveType === undefined || effectiveType === '4g')
}
