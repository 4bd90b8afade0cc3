/** Why a server has closed a connection, or does not open a document, in words. */

/**
 * The words for a close after which another attempt would be refused as well: 4400 to 4499, 1008 and 1009. Null for other codes.
 */
export function refusal({ code, reason }: CloseEvent, denied: string | null): string | null {
  const said = refusing(denied ?? reason)
  if (code === 1008 || code === 1009) return `The server refuses what was written on this page, and does not save it.${said}`
  if (code < 4400 || code >= 4500) return null
  switch (code) {
    case 4401: return `The server does not accept who you are: the token in this link is missing, wrong or too old. Ask for a new link.${said}`
    case 4403: return `You are not allowed to open this room. Ask somebody who is.${said}`
    case 4404: return `There is no such document on this server.${said}`
    default: return `The server refuses this document (${code}).${said}`
  }
}

/** The words for a close after which another attempt makes sense; null if there is nothing to say. */
export function interruption({ code, reason }: CloseEvent): string | null {
  const said = interrupting(reason)
  switch (code) {
    case 1001: return 'The server is stopping or starting again.'
    case 1011: return `The server cannot read this document.${said}`
    case 1013: return `The server is at its limit.${said}`
    default: return null
  }
}

/** The words for a document that is denied, without a close code. */
export function denial(reason: string): string {
  return `The server does not open this document.${refusing(reason)}`
}

/** The words for a document that is closed while the socket stays open, without a close code. */
export function closing(reason: string): string {
  return `The server has closed this document.${interrupting(reason)}`
}

function refusing(reason: string): string {
  return reason === '' ? '' : ` The server says: “${reason}”.`
}

function interrupting(reason: string): string {
  return reason === '' ? '' : ` It says: “${reason}”.`
}
