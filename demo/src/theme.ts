/** Light or dark: as the system has it, until the person chooses. */

import { Signal } from './signal'

const STORED = 'coscribe.theme'
const system = matchMedia('(prefers-color-scheme: dark)')

export const themeChanged = new Signal()

export function isDark(): boolean {
  const chosen = document.documentElement.dataset['theme']
  return chosen === undefined ? system.matches : chosen === 'dark'
}

export function applyTheme(): void {
  const stored = localStorage.getItem(STORED)
  if (stored === 'dark' || stored === 'light') document.documentElement.dataset['theme'] = stored
  system.addEventListener('change', () => themeChanged.emit())
}

export function toggleTheme(): void {
  const theme = isDark() ? 'light' : 'dark'
  document.documentElement.dataset['theme'] = theme
  localStorage.setItem(STORED, theme)
  themeChanged.emit()
}
