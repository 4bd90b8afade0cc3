//! The content of blocks. Short content is checked or passed over in one go, long content with pauses.

use super::fields::read_len;
use super::{Clock, Content, UpdateError};
use crate::lib0::{AnyWalk, JsonCheck, ReadError, Reader, Walked, check_utf8, utf16_len};
use crate::limits::{MAX_CLOCK, SHORT_BYTES, SHORT_JSON_BYTES};
use crate::work::{BYTES_PER_STEP, Work};

/// Steps that [`SHORT_BYTES`] take.
const SHORT_STEPS: usize = SHORT_BYTES / BYTES_PER_STEP;

/// Passes over the content of a block at `clock`, which was checked before; gives its length in elements. O(bytes) for lists
/// and Strings, else O(1).
pub(super) fn skip_content(
    reader: &mut Reader<'_>,
    content: Content,
    clock: Clock,
) -> Result<Clock, UpdateError> {
    match content {
        Content::Gc | Content::Deleted | Content::Skip => read_len(reader, clock),
        Content::String => in_range(utf16_len(reader.var_buf()?), clock),
        Content::Json | Content::Any => {
            let elements = reader.count(1)?;
            for _ in 0..elements {
                skip_element(reader, content)?;
            }
            in_range(elements, clock)
        }
        Content::Binary | Content::Embed => reader.var_buf().map(|_| Ok(1))?,
        Content::Format => {
            reader.var_buf()?;
            reader.var_buf().map(|_| Ok(1))?
        }
        Content::Type => {
            if type_has_name(reader)? {
                reader.var_buf()?;
            }
            Ok(1)
        }
        Content::Doc => {
            reader.var_buf()?;
            skip_element(reader, Content::Any)?;
            Ok(1)
        }
    }
}

/// Passes over one element of JSON or Any content, which was checked before.
fn skip_element(reader: &mut Reader<'_>, content: Content) -> Result<(), ReadError> {
    match content {
        Content::Any => AnyWalk::over(1).advance::<false>(reader, &mut { usize::MAX }).map(drop),
        _ => reader.var_buf().map(drop),
    }
}

/// Passes over the content of a block at `clock`, with pauses where it is long; gives its length in elements. Without `CHECK`,
/// checks that only the first reading needs are left out. O(bytes).
pub(super) async fn read_content<const CHECK: bool>(
    reader: &mut Reader<'_>,
    content: Content,
    clock: Clock,
    work: &mut Work,
) -> Result<Clock, UpdateError> {
    if matches!(content, Content::Gc | Content::Deleted | Content::Skip) {
        work.count(1);
        work.pause().await;
        return read_len(reader, clock);
    }
    let start = reader.position();
    let len = match read_short::<CHECK>(reader, content)? {
        Some(len) => {
            // Bytes beyond these were passed over.
            work.count_bytes((reader.position() - start).min(SHORT_BYTES));
            len
        }
        // Rare, and its future is large: short blocks should not carry it along.
        None => Box::pin(read_long::<CHECK>(reader, content, work)).await?,
    };
    work.pause().await;
    in_range(len, clock)
}

/// Reads content that takes a few microseconds at most. Gives `None`, and has read nothing, if it may take longer.
fn read_short<const CHECK: bool>(
    reader: &mut Reader<'_>,
    content: Content,
) -> Result<Option<usize>, UpdateError> {
    let mut ahead = reader.clone();
    let len = match content {
        Content::String => match short_text::<CHECK>(&mut ahead)? {
            Some(text) => utf16_len(text),
            None => return Ok(None),
        },
        Content::Binary => ahead.var_buf().map(|_| 1)?,
        Content::Embed => match short_json::<CHECK>(&mut ahead)? {
            Some(()) => 1,
            None => return Ok(None),
        },
        Content::Format => match (short_text::<CHECK>(&mut ahead)?, short_json::<CHECK>(&mut ahead)?) {
            (Some(_), Some(())) => 1,
            _ => return Ok(None),
        },
        Content::Type => match type_has_name(&mut ahead)?.then(|| short_text::<CHECK>(&mut ahead)) {
            Some(name) if name?.is_none() => return Ok(None),
            _ => 1,
        },
        Content::Any => {
            let elements = ahead.count(1)?;
            match AnyWalk::over(elements).advance::<CHECK>(&mut ahead, &mut { SHORT_STEPS })? {
                Walked::Done => elements,
                Walked::Paused | Walked::Text(_) => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    *reader = ahead;
    Ok(Some(len))
}

/// A string, if it is short. Nothing is to be read after a long one.
fn short_text<'a, const CHECK: bool>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, ReadError> {
    let text = reader.var_buf()?;
    if CHECK && text.len() <= SHORT_BYTES {
        check_utf8(text)?;
    }
    Ok((text.len() <= SHORT_BYTES).then_some(text))
}

fn short_json<const CHECK: bool>(reader: &mut Reader<'_>) -> Result<Option<()>, ReadError> {
    let Some(text) = short_text::<CHECK>(reader)? else { return Ok(None) };
    if CHECK {
        if text.len() > SHORT_JSON_BYTES {
            return Ok(None);
        }
        crate::lib0::check_json(check_utf8(text)?)?;
    }
    Ok(Some(()))
}

/// Reads content of any size, with pauses.
async fn read_long<const CHECK: bool>(
    reader: &mut Reader<'_>,
    content: Content,
    work: &mut Work,
) -> Result<usize, UpdateError> {
    Ok(match content {
        Content::String => {
            let text = read_text::<CHECK>(reader, work).await?;
            count_units(text, work).await
        }
        Content::Any => {
            let elements = reader.count(1)?;
            read_any::<CHECK>(reader, elements, work).await?;
            elements
        }
        Content::Json => read_json_list::<CHECK>(reader, work).await?,
        Content::Embed => read_json::<CHECK>(reader, work).await.map(|()| 1)?,
        Content::Format => {
            read_text::<CHECK>(reader, work).await?;
            read_json::<CHECK>(reader, work).await.map(|()| 1)?
        }
        Content::Type => {
            if type_has_name(reader)? {
                read_text::<CHECK>(reader, work).await?;
            }
            1
        }
        Content::Doc => {
            read_text::<CHECK>(reader, work).await?;
            read_any::<CHECK>(reader, 1, work).await.map(|()| 1)?
        }
        Content::Binary | Content::Gc | Content::Deleted | Content::Skip => {
            unreachable!("it is never long")
        }
    })
}

fn in_range(len: usize, clock: Clock) -> Result<Clock, UpdateError> {
    match Clock::try_from(len) {
        Ok(len) if len <= MAX_CLOCK - clock => Ok(len),
        _ => Err(UpdateError::ClockOutOfRange),
    }
}

async fn read_text<'a, const CHECK: bool>(
    reader: &mut Reader<'a>,
    work: &mut Work,
) -> Result<&'a [u8], ReadError> {
    let text = reader.var_buf()?;
    if CHECK {
        check_text(text, work).await?;
    }
    Ok(text)
}

/// Checks that bytes are UTF-8.
pub(super) async fn check_text(mut text: &[u8], work: &mut Work) -> Result<(), ReadError> {
    while text.len() > SHORT_BYTES {
        let (piece, _) = text.split_at(SHORT_BYTES);
        let checked = match std::str::from_utf8(piece) {
            Ok(_) => piece.len(),
            // The last character goes on in the next piece.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(ReadError::InvalidUtf8),
        };
        text = &text[checked..];
        work.count_bytes(checked);
        work.pause().await;
    }
    check_utf8(text).map(drop)
}

/// The length of UTF-8 text in UTF-16 units.
async fn count_units(text: &[u8], work: &mut Work) -> usize {
    let mut units = 0;
    for piece in text.chunks(SHORT_BYTES) {
        units += utf16_len(piece);
        work.count_bytes(piece.len());
        work.pause().await;
    }
    units
}

async fn read_any<const CHECK: bool>(
    reader: &mut Reader<'_>,
    values: usize,
    work: &mut Work,
) -> Result<(), ReadError> {
    let mut walk = AnyWalk::over(values);
    loop {
        let mut left = SHORT_STEPS;
        let walked = walk.advance::<CHECK>(reader, &mut left)?;
        work.count(SHORT_STEPS - left);
        match walked {
            Walked::Done => return Ok(()),
            Walked::Paused => {}
            Walked::Text(text) => check_text(text, work).await?,
        }
        work.pause().await;
    }
}

/// Passes over one element of JSON or Any content, which was checked before.
pub(super) async fn read_element(
    reader: &mut Reader<'_>,
    content: Content,
    work: &mut Work,
) -> Result<(), ReadError> {
    match content {
        Content::Any => read_any::<false>(reader, 1, work).await,
        _ => reader.var_buf().map(drop),
    }
}

/// Reads a list of JSON texts; gives how many there are.
async fn read_json_list<const CHECK: bool>(
    reader: &mut Reader<'_>,
    work: &mut Work,
) -> Result<usize, ReadError> {
    let elements = reader.count(1)?;
    for _ in 0..elements {
        let text = reader.var_buf()?;
        work.count(1);
        // Old clients wrote `undefined` as it is, and all clients read it so.
        if CHECK && text != b"undefined" {
            check_json(text, work).await?;
        }
        work.pause().await;
    }
    Ok(elements)
}

async fn read_json<const CHECK: bool>(reader: &mut Reader<'_>, work: &mut Work) -> Result<(), ReadError> {
    let text = reader.var_buf()?;
    if CHECK { check_json(text, work).await } else { Ok(()) }
}

/// Checks that a text is UTF-8 and one JSON value: one that is not would break every client.
async fn check_json(text: &[u8], work: &mut Work) -> Result<(), ReadError> {
    check_text(text, work).await?;
    let mut check = JsonCheck::new();
    for piece in text.chunks(SHORT_BYTES) {
        check.read(piece).map_err(|_| ReadError::InvalidJson)?;
        // Byte by byte takes many times as long as a copy.
        work.count_bytes(32 * piece.len());
        work.pause().await;
    }
    check.end().map_err(|_| ReadError::InvalidJson)
}

/// Reads the number of a shared type, and says whether its name follows: 0 Array, 1 Map, 2 Text, 3 XmlElement+name,
/// 4 XmlFragment, 5 XmlHook+name, 6 XmlText.
fn type_has_name(reader: &mut Reader<'_>) -> Result<bool, UpdateError> {
    match reader.var_uint()? {
        0 | 1 | 2 | 4 | 6 => Ok(false),
        3 | 5 => Ok(true),
        unknown => Err(UpdateError::UnknownType(unknown)),
    }
}
