/** Drawings of 24 by 24, as paths. */
export const ICONS = {
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  window: 'M14 4h6v6M20 4l-9 9M18 14v6H4V6h6',
  theme: 'M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z',
  saved: 'M4 12l5 5L20 6',
  pulse: 'M3 12h4l3-8 4 16 3-8h4',
  cut: 'M6 6l12 12M18 6L6 18',
  link: 'M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1',
}
