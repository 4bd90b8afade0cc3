/** The names that people give themselves, as others may see them. */

/** What a reader takes for one letter may be several characters: `👩‍👩‍👧‍👦` is seven. */
const LETTERS = new Intl.Segmenter(undefined, { granularity: 'grapheme' })

/** In letters. */
const LONGEST = 32

/** In UTF-16 units: a single letter can have any number of marks. */
const LARGEST = 200

/** Control and format characters; but emoji and Persian words consist of parts that joiners join, and some flags have tags in them. */
const HIDDEN = /(?:(?![\u200c\u200d\u{e0020}-\u{e007f}])[\p{Cc}\p{Cf}\s])+/gu
const ENDS = /^[\u200c\u200d\s]+|[\u200c\u200d\s]+$/gu
const VISIBLE = /[\p{L}\p{N}\p{P}\p{S}]/u

/** A name on one line, of bounded length, cut between letters; empty if nothing of it can be seen. */
export function cleanName(name: string): string {
  const line = name.replace(HIDDEN, ' ').replace(ENDS, '')
  const all = letters(line.slice(0, LARGEST))
  // The last letter may have been cut.
  if (line.length > LARGEST) all.pop()
  const clean = all.slice(0, LONGEST).join('').trimEnd()
  return VISIBLE.test(clean) ? clean : ''
}

/** The first letter of a name. */
export function initial(name: string): string {
  return letters(name)[0] ?? '?'
}

/** A name that nobody has, made of one that somebody has: `Ada 2`. */
export function numbered(name: string, taken: Set<string>): string {
  const base = letters(name.replace(/ \d+$/, '')).slice(0, LONGEST - 4).join('')
  let number = 2
  while (taken.has(`${base} ${number}`)) number++
  return `${base} ${number}`
}

function letters(text: string): string[] {
  return Array.from(LETTERS.segment(text), ({ segment }) => segment)
}
