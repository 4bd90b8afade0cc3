/** The providers that a page can connect its documents with, and which one this window uses. */

import type { Connector } from './connection/connection'
import { yWebsocket } from './connection/y-websocket'

const PARAMETER = 'provider'
const STORED = 'coscribe.provider'

/** The first is the usual one, and part of the page; the others are loaded by windows that use them. */
export const PROVIDERS = [
  { id: 'y-websocket', title: 'y-websocket', load: async (): Promise<Connector> => yWebsocket },
  { id: 'hocuspocus', title: 'Hocuspocus', load: async (): Promise<Connector> => (await import('./connection/hocuspocus')).hocuspocus },
] as const

export type Provider = typeof PROVIDERS[number]

/**
 * The provider that the page's URL names, or the last one of this window. It is remembered for this window alone, so that two
 * windows of one browser can use different ones.
 */
export function providerOfPage(): Provider {
  const named = called(new URLSearchParams(location.search).get(PARAMETER))
  if (named !== undefined) sessionStorage.setItem(STORED, named.id)
  return named ?? called(sessionStorage.getItem(STORED)) ?? PROVIDERS[0]
}

/** The URL of this very page with another provider. */
export function pageWith(provider: Provider): string {
  const url = new URL(location.href)
  url.searchParams.set(PARAMETER, provider.id)
  return url.href
}

function called(id: string | null): Provider | undefined {
  return PROVIDERS.find(provider => provider.id === id)
}
