//! Whether two encoded `any` values may be one value, written by different clients.
//!
//! Clients write the members of an object in any order, and a number as an integer, of 32 or of 64 bits. What a client has read
//! and writes again may have lost what JavaScript cannot keep. Where that is so, the values count as alike.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{ReadError, Reader};

/// A key that JavaScript does not keep as a member.
const PROTOTYPE: &[u8] = b"__proto__";

/// Whether two checked lists of so many `any` values may say the same. O(bytes · log members).
pub(crate) fn are_alike(one: &[u8], other: &[u8], values: usize) -> bool {
    if one == other {
        return true;
    }
    let (mut one, mut other) = (Reader::new(one), Reader::new(other));
    (0..values).all(|_| match (meaning(&mut one), meaning(&mut other)) {
        (Ok(Some(one)), Ok(Some(other))) => one == other,
        _ => true,
    })
}

/// What stands for a value; `None` if clients may differ in what they make of it. All of it is read in any case.
fn meaning(reader: &mut Reader<'_>) -> Result<Option<u64>, ReadError> {
    let tag = reader.u8()?;
    Ok(Some(match tag {
        125 => number(reader.var_int()?),
        124 => number(f32::from_be_bytes(reader.array()?).into()),
        123 => number(f64::from_be_bytes(reader.array()?)),
        #[expect(clippy::cast_precision_loss, reason = "what is nearly the same counts as the same")]
        122 => number(i64::from_be_bytes(reader.array()?) as f64),
        119 | 116 => hash((tag, reader.var_buf()?)),
        118 => return members(reader),
        117 => {
            let (mut all, mut is_sure) = (DefaultHasher::new(), true);
            for _ in 0..reader.count(1)? {
                let element = meaning(reader)?;
                is_sure &= element.is_some();
                element.hash(&mut all);
            }
            return Ok(is_sure.then(|| hash((tag, all.finish()))));
        }
        // `undefined` becomes null on the way through JSON.
        127 => hash(126_u8),
        _ => hash(tag),
    }))
}

fn members(reader: &mut Reader<'_>) -> Result<Option<u64>, ReadError> {
    let (mut members, mut is_sure) = (Vec::new(), true);
    for _ in 0..reader.count(2)? {
        let key = reader.var_buf()?;
        let is_null = reader.clone().u8().is_ok_and(|tag| tag >= 126);
        let value = meaning(reader)?;
        is_sure &= value.is_some() && key != PROTOTYPE;
        members.push((key, value, is_null));
    }
    members.sort_unstable();
    is_sure &= members.windows(2).all(|two| two[0].0 != two[1].0);
    // A member without a value may be left out.
    members.retain(|(_, _, is_null)| !is_null);
    Ok(is_sure.then(|| hash((118_u8, members))))
}

fn number(value: f64) -> u64 {
    let bits = match value {
        _ if value.is_nan() => f64::NAN.to_bits(),
        // Also -0.
        0.0 => 0,
        _ => value.to_bits(),
    };
    hash((125_u8, bits))
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(one: &[u8], other: &[u8]) -> bool {
        let is_alike = are_alike(one, other, 1);
        assert_eq!(is_alike, are_alike(other, one, 1));
        is_alike
    }

    #[test]
    fn one_value_in_several_encodings_is_alike() {
        let float = |value: f64| [&[123][..], &value.to_be_bytes()].concat();
        let single = |value: f32| [&[124][..], &value.to_be_bytes()].concat();
        let integer = |value: i64| [&[122][..], &value.to_be_bytes()].concat();
        for (one, other) in [
            (vec![125, 2], float(2.0)),
            (vec![125, 2], single(2.0)),
            (vec![125, 0x42], integer(-2)),
            (vec![125, 0x40], float(0.0)),
            (float(f64::NAN), float(-f64::NAN)),
            (vec![127], vec![126]),
            (vec![118, 2, 1, b'a', 120, 1, b'b', 121], vec![118, 2, 1, b'b', 121, 1, b'a', 120]),
            (vec![118, 1, 1, b'a', 127], vec![118, 0]),
            (vec![117, 1, 125, 2], [&[117, 1][..], &float(2.0)].concat()),
        ] {
            assert!(alike(&one, &other), "{one:?} and {other:?}");
        }
    }

    #[test]
    fn different_values_are_not() {
        let object = |value: u8| vec![118, 1, 1, b'a', value];
        for (one, other) in [
            (vec![125, 2], vec![125, 3]),
            (vec![125, 2], vec![125, 0x42]),
            (vec![120], vec![121]),
            (vec![119, 1, b'a'], vec![119, 1, b'b']),
            (vec![119, 1, b'a'], vec![116, 1, b'a']),
            (object(120), object(121)),
            (object(120), vec![118, 0]),
            (vec![117, 2, 120, 121], vec![117, 2, 121, 120]),
            (vec![117, 0], vec![118, 0]),
        ] {
            assert!(!alike(&one, &other), "{one:?} and {other:?}");
        }
    }

    #[test]
    fn values_that_javascript_does_not_keep_count_as_alike() {
        let twice = [118, 2, 1, b'a', 120, 1, b'a', 121];
        assert!(alike(&twice, &[118, 1, 1, b'a', 121]));
        let prototype = [&[118, 1, 9][..], PROTOTYPE, &[118, 0]].concat();
        assert!(alike(&prototype, &[118, 0]));
        assert!(alike(&[&[117, 1][..], &twice].concat(), &[117, 1, 118, 1, 1, b'a', 121]));
    }
}
