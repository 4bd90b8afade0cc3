use super::*;
use crate::deflate::TAIL;
use crate::limits::{LARGE_INFLATION_BYTES, PIECE_BYTES};
use flate2::{Compress, Compression, FlushCompress};
use std::io::Cursor;
use std::task::Waker;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

const MAX: usize = 1 << 20;

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut stream = Compress::new(Compression::fast(), false);
    let mut out = Vec::with_capacity(plain.len() + 100);
    stream.compress_vec(plain, &mut out, FlushCompress::Sync).unwrap();
    out.truncate(out.len() - TAIL.len());
    out
}

/// A masked frame; `first` has the FIN bit, the reserved bits and the opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..65536 => {
            frame.push(0xfe);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            frame.push(0xff);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Passes on what can be, as soon as it may.
fn pass(inflating: &mut Inflating, out: &mut ReadBuf<'_>) -> Result<bool, InflateError> {
    loop {
        match inflating.poll_pass(&mut Context::from_waker(Waker::noop()), out) {
            Poll::Ready(passed) => return passed,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

/// What comes out of `input`, which arrives in parts of `arriving` bytes and is read in parts of `reading` bytes.
fn passed(input: &[u8], arriving: usize, reading: usize) -> Result<Vec<u8>, InflateError> {
    let mut inflating = Inflating::new(MessageBytes::up_to(MAX), Some(0), Vec::new(), None);
    let mut passed = Vec::new();
    let mut room = vec![0; reading];
    let mut parts = input.chunks(arriving);
    loop {
        let mut out = ReadBuf::new(&mut room);
        if pass(&mut inflating, &mut out)? {
            passed.extend_from_slice(out.filled());
        } else {
            assert_eq!(inflating.received.capacity(), 0, "nothing is kept between messages");
            let Some(part) = parts.next() else { return Ok(passed) };
            inflating.receive(part);
        }
    }
}

/// The messages in a stream of frames, as tungstenite reads them, up to the first error.
fn messages(passed: Vec<u8>) -> (Vec<Message>, Error) {
    let limits = WebSocketConfig::default().max_message_size(Some(MAX)).max_frame_size(Some(MAX));
    let mut socket = WebSocket::from_raw_socket(Cursor::new(passed), Role::Server, Some(limits));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => messages.push(message),
            Err(error) => return (messages, error),
        }
    }
}

#[test]
fn plain_frames_pass_byte_by_byte_as_they_are() {
    let long = vec![1; 70_000];
    let frames = [
        frame(0x82, b"binary"),
        frame(0x81, &vec![b'x'; 300]),
        frame(0x02, b"frag"),
        frame(0x89, b"ping"),
        frame(0x80, b"ment"),
        frame(0x82, &long),
        frame(0x82, b""),
        vec![0x82, 3, 1, 2, 3],
        frame(0xa2, b"RSV2"),
        frame(0xc9, b"RSV1 on a ping"),
        frame(0xc0, b"RSV1 on a continuation"),
        frame(0xc3, b"RSV1 on an unknown opcode"),
        vec![0xc2, 3, 1, 2, 3],
    ]
    .concat();
    for (arriving, reading) in [(1, 1), (1, 4096), (4096, 1), (7, 5), (4096, 4096)] {
        assert_eq!(passed(&frames, arriving, reading).unwrap(), frames, "{arriving}, {reading}");
    }
}

#[test]
fn compressed_messages_come_out_plain_however_they_arrive_and_control_frames_between_them_pass() {
    let words: Vec<u8> = (0..30_000u32).flat_map(|n| (n * n % 977).to_string().into_bytes()).collect();
    let (small, large) = (deflate(b"small"), deflate(&words));
    let (head, tail) = large.split_at(large.len() / 3);
    let frames = [
        frame(0xc2, &small),
        frame(0xc1, &small),
        frame(0x42, head),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x80, tail),
        frame(0x82, b"plain"),
        frame(0x42, &[]),
        frame(0x80, &[0x00]),
    ]
    .concat();
    let expected = [
        Message::binary(&b"small"[..]),
        Message::text("small"),
        Message::Ping(b"ping"[..].into()),
        Message::binary(words),
        Message::binary(&b"plain"[..]),
        Message::binary(&b""[..]),
    ];
    for (arriving, reading) in [(1, 4096), (4096, 1), (7, 5), (4096, 4096), (frames.len(), 100)] {
        let (read, _) = messages(passed(&frames, arriving, reading).unwrap());
        assert!(read == expected, "{arriving}, {reading}");
    }
}

#[test]
fn blocks_that_call_themselves_the_last_do_not_end_a_message() {
    // RFC 7692, section 7.2.3.5: "Hello" in a block with BFINAL, and the empty block that has to follow it.
    let hello = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let (read, _) = messages(passed(&frame(0xc1, &hello), 4096, 4096).unwrap());
    assert_eq!(read, [Message::text("Hello")]);
    // Sections 7.2.3.1 and 7.2.3.3: the ordinary form, and a block without compression.
    for hello in [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
    ] {
        let (read, _) = messages(passed(&frame(0xc1, hello), 4096, 4096).unwrap());
        assert_eq!(read, [Message::text("Hello")]);
    }
}

#[test]
fn a_message_that_inflates_to_more_than_the_limit_is_given_up_where_it_crosses_it() {
    let fits = frame(0xc2, &deflate(&vec![0; MAX]));
    let (read, _) = messages(passed(&fits, 4096, 4096).unwrap());
    assert_eq!(read[0].len(), MAX);
    let bomb = frame(0xc2, &deflate(&vec![0; 50 * MAX]));
    let mut inflating = Inflating::new(MessageBytes::up_to(MAX), Some(0), bomb, None);
    let (mut room, mut seen) = (vec![0; 4096], 0);
    let error = loop {
        let mut out = ReadBuf::new(&mut room);
        match pass(&mut inflating, &mut out) {
            Ok(_) => seen += out.filled().len(),
            Err(error) => break error,
        }
    };
    assert_eq!(error, InflateError::TooLarge);
    assert!((MAX - PIECE_BYTES..MAX + PIECE_BYTES).contains(&seen), "{seen}");
}

#[test]
fn frames_that_are_too_large_before_inflation_are_refused_without_being_gathered() {
    let header = [0xc2, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0];
    assert_eq!(passed(&header, 14, 4096), Err(InflateError::TooLarge));
    // Empty blocks without compression inflate to nothing.
    let nothing: Vec<u8> = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(MAX / 10);
    let frames = [frame(0x42, &nothing), frame(0x00, &nothing), frame(0x00, &nothing)].concat();
    assert_eq!(passed(&frames, 4096, 4096), Err(InflateError::TooLarge));
}

#[test]
fn damage_and_messages_inside_others_are_noticed() {
    assert_eq!(passed(&frame(0xc2, &[0xff; 64]), 4096, 4096), Err(InflateError::Damaged));
    let inside = [frame(0x42, &deflate(b"one")), frame(0x82, b"other")].concat();
    assert_eq!(passed(&inside, 4096, 4096), Err(InflateError::Interleaved));
    let inside = [frame(0x42, &deflate(b"one")), frame(0xc2, &deflate(b"other"))].concat();
    let (read, error) = messages(passed(&inside, 4096, 4096).unwrap());
    assert!(read.is_empty() && matches!(error, Error::Protocol(_)), "{error}");
}

#[test]
fn noise_gives_errors_at_most() {
    for _ in 0..2000 {
        let mut noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(300).collect();
        noise[0] = 0xc2;
        noise[1] |= 0x80;
        let _ = passed(&noise, 50, 50);
    }
}

#[test]
fn a_message_may_refer_to_those_before_if_that_was_agreed_on() {
    let texts: Vec<Vec<u8>> = (0..40_u64)
        .map(|n| {
            // One is inflated twice, to know its size, and one has more than the window.
            let words = if n == 20 { 100_000 } else { n * n };
            (0..words).flat_map(|word| (word * word % 977).to_string().into_bytes()).collect()
        })
        .collect();
    for bits in [9, 12, 15] {
        let mut stream = Compress::new_with_window_bits(Compression::fast(), false, bits);
        let limits = MessageBytes { usual: 64 << 10, most: MAX };
        let mut inflating = Inflating::new(limits, Some(1 << bits), Vec::new(), None);
        let mut passed = Vec::new();
        for text in &texts {
            let mut compressed = Vec::with_capacity(text.len() + 100);
            stream.compress_vec(text, &mut compressed, FlushCompress::Sync).unwrap();
            compressed.truncate(compressed.len() - TAIL.len());
            inflating.receive(&frame(0xc2, &compressed));
            let mut room = vec![0; 4096];
            loop {
                let mut out = ReadBuf::new(&mut room);
                if !pass(&mut inflating, &mut out).unwrap() {
                    break;
                }
                passed.extend_from_slice(out.filled());
                drop(inflating.take_right());
            }
        }
        let found: Vec<Vec<u8>> =
            messages(passed).0.into_iter().map(|message| message.into_data().to_vec()).collect();
        assert!(found == texts, "a window of {bits} bits");
    }
}

#[test]
fn a_message_by_itself_may_not_refer_to_those_before() {
    let mut stream = Compress::new(Compression::fast(), false);
    let mut inflating = Inflating::new(MessageBytes::up_to(MAX), Some(0), Vec::new(), None);
    for n in 0..2 {
        let mut compressed = Vec::with_capacity(200);
        let words = b"words that are said twice, and the second time they are not sent again";
        stream.compress_vec(words, &mut compressed, FlushCompress::Sync).unwrap();
        compressed.truncate(compressed.len() - TAIL.len());
        inflating.receive(&frame(0xc2, &compressed));
        let mut room = vec![0; 4096];
        let mut out = ReadBuf::new(&mut room);
        let result = pass(&mut inflating, &mut out);
        assert_eq!(result, if n == 0 { Ok(true) } else { Err(InflateError::Damaged) });
        inflating.release();
    }
}

#[test]
fn what_inflates_to_nothing_is_read_with_pauses() {
    // Empty blocks that call themselves the last, and then a word.
    let message = [&[0x03, 0x00].repeat(100_000)[..], &deflate(b"word")].concat();
    let mut inflating = Inflating::new(MessageBytes::up_to(MAX), Some(0), frame(0xc2, &message), None);
    let mut cx = Context::from_waker(Waker::noop());
    let (mut room, mut pauses) = (vec![0; 1024], 0);
    loop {
        let mut out = ReadBuf::new(&mut room);
        match inflating.poll_pass(&mut cx, &mut out) {
            Poll::Pending => pauses += 1,
            Poll::Ready(passed) => {
                assert!(passed.unwrap() && out.filled().ends_with(b"word"));
                break;
            }
        }
    }
    assert!(pauses > 100, "{pauses}");
}

#[test]
fn large_messages_are_inflated_a_few_at_a_time_and_small_ones_beside_them() {
    let large = frame(0xc2, &deflate(&vec![0; 8 * LARGE_INFLATION_BYTES]));
    let start = |frame: &[u8]| {
        Inflating::new(MessageBytes::up_to(16 * LARGE_INFLATION_BYTES), Some(0), frame.to_vec(), None)
    };
    let mut crowd: Vec<Inflating> = (0..20).map(|_| start(&large)).collect();
    let mut cx = Context::from_waker(Waker::noop());
    let mut room = vec![0; 64 << 10];
    let mut inflated = vec![0; crowd.len()];
    // Other tests in this process take turns as well, so there is no saying which of the crowd comes first.
    let mut unfinished: Vec<usize> = (0..crowd.len()).collect();
    let mut most = 0;
    while !unfinished.is_empty() {
        unfinished.retain(|&n| {
            let mut out = ReadBuf::new(&mut room);
            match crowd[n].poll_pass(&mut cx, &mut out) {
                Poll::Ready(passed) => {
                    inflated[n] += out.filled().len();
                    passed.unwrap()
                }
                Poll::Pending => true,
            }
        });
        most = most.max(
            inflated
                .iter()
                .filter(|&&bytes| (3 * LARGE_INFLATION_BYTES..8 * LARGE_INFLATION_BYTES).contains(&bytes))
                .count(),
        );
        let mut small = start(&frame(0xc2, &deflate(b"small")));
        assert!(matches!(small.poll_pass(&mut cx, &mut ReadBuf::new(&mut room)), Poll::Ready(Ok(true))));
    }
    assert!((1..=4).contains(&most), "{most}");
}
