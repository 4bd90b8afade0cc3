// Lets the page be loaded again without a connection. Only what was used is kept; what the server has is preferred.

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
