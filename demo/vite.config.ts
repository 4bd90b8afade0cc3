import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

/** Beside each file that gains by it, the same compressed: the server embeds both and compresses nothing itself. */
function precompress(): Plugin {
  return {
    name: 'precompress',
    apply: 'build',
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        for (const [fileName, file] of Object.entries(bundle)) {
          const source = Buffer.from(file.type === 'chunk' ? file.code : file.source)
          if (!/\.(js|css|html|svg|ttf)$/.test(fileName) || source.length < 1024) continue
          const brotli = brotliCompressSync(source, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: source.length } })
          this.emitFile({ type: 'asset', fileName: `${fileName}.br`, source: brotli })
          this.emitFile({ type: 'asset', fileName: `${fileName}.gz`, source: gzipSync(source, { level: 9 }) })
        }
      },
    },
  }
}

/** A list of the files that the page may come to load, for the service worker. */
function listFiles(): Plugin {
  return {
    name: 'list-files',
    apply: 'build',
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        const files = Object.keys(bundle).filter(name => name.startsWith('assets/') && !/\.(br|gz)$/.test(name))
        this.emitFile({ type: 'asset', fileName: 'files.json', source: JSON.stringify(files.map(name => `/${name}`)) })
      },
    },
  }
}

export default defineConfig({
  plugins: [listFiles(), precompress()],
  resolve: { dedupe: ['yjs', 'y-protocols', 'lib0'] },
  // Older ones lack light-dark() in style sheets, popovers or Intl.Segmenter.
  build: { target: ['chrome123', 'firefox125', 'safari17.5'], chunkSizeWarningLimit: 4000, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  // `npm run dev` uses a coscribe that runs beside it.
  server: {
    proxy: {
      '^/[^@]+/(people|codemirror|tiptap|quill|monaco|whiteboard)$': { target: 'ws://127.0.0.1:1234', ws: true },
      // Hocuspocus' WebSockets; the page itself has the same path.
      '^/$': { target: 'ws://127.0.0.1:1234', ws: true, bypass: ({ headers, url }) => headers.upgrade === 'websocket' ? undefined : url },
    },
  },
})
