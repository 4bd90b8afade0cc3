// Lets the page be loaded again without a connection. What the server has is preferred.

self.addEventListener('install', () => self.skipWaiting())
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()))

self.addEventListener('fetch', event => {
  const { mode, url, method } = event.request
  const { origin, pathname } = new URL(url)
  if (origin !== location.origin || method !== 'GET') return
  if (pathname.startsWith('/assets/')) {
    // Their names change with their contents.
    event.respondWith(caches.match(url).then(kept => kept ?? fetch(event.request)))
  } else if (mode === 'navigate' && pathname === '/') {
    event.respondWith(fetch(event.request).catch(async error => {
      const kept = await caches.match('/')
      if (kept === undefined) throw error
      return kept
    }))
  }
})

// The page names its cache when it has all that it needs itself. The other editors are fetched one after the other, to be in
// nobody's way.
self.addEventListener('message', event => event.waitUntil(keepAll(event.data)))

async function keepAll(name) {
  const cache = await caches.open(name)
  const list = await fetch('/files.json', { priority: 'low' })
  for (const file of await list.json()) {
    if (await cache.match(file) === undefined) await cache.add(new Request(file, { priority: 'low' }))
  }
}
