//! The roots of a document with their types. Updates do not name the types; the blocks in a root show its type.

use std::collections::BTreeMap;
use std::str::FromStr;

use coscribe_engine::lib0::{ReadError, Reader};
use coscribe_engine::update::{Block, Clock, Content, Id, Update};
use serde::Serialize;

/// Info bits: an origin or a right origin follows; it is the value of a key.
const HAS_ORIGINS: u8 = 0xc0;
const HAS_KEY: u8 = 0x20;
/// References of types: XML elements, hooks and texts.
const XML: [u64; 3] = [3, 5, 6];

/// Roots by name.
pub(super) type Roots = BTreeMap<String, RootType>;

/// The type of a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub(super) enum RootType {
    /// A `Y.Map`
    Map,
    /// A `Y.XmlFragment`
    Xml,
    /// A `Y.Array`
    Array,
    /// A `Y.Text`
    Text,
}

/// A root as it is given on the command line: `name=type`.
#[derive(Debug, Clone)]
pub(super) struct Given(pub(super) String, pub(super) RootType);

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, of) = text.rsplit_once('=').ok_or("it must be name=type")?;
        let of = clap::ValueEnum::from_str(of, true)?;
        Ok(Self(name.to_owned(), of))
    }
}

/// The roots that updates write into. One that holds several kinds of things is what the last of [`RootType`] says.
pub(super) fn roots(updates: &[Update]) -> Roots {
    let mut roots = Roots::new();
    let mut places = Places::default();
    let mut unplaced = Vec::new();
    for update in updates {
        unplaced.extend(
            update.runs().flat_map(|run| run.blocks().map(|block| Item::of(&block)).collect::<Vec<_>>()),
        );
    }
    loop {
        let before = unplaced.len();
        unplaced.retain(|item| {
            let Some(root) = places.root_of(item) else { return true };
            places.insert(item, root.clone());
            if let (Some(name), Some(of)) = (root, item.says) {
                let known = roots.entry(name).or_insert(of);
                *known = of.max(*known);
            }
            false
        });
        if unplaced.len() == before {
            return roots;
        }
    }
}

/// What a block says of where it is.
struct Item {
    id: Id,
    end: Clock,
    /// The elements that it lies beside.
    beside: Option<Id>,
    /// The root that it names.
    root: Option<String>,
    /// What kind of type holds such a block.
    says: Option<RootType>,
}

impl Item {
    fn of(block: &Block<'_>) -> Self {
        let beside = block.origin.or(block.right_origin);
        let mut item = Self { id: block.id, end: block.end(), beside, root: None, says: None };
        if !matches!(block.content, Content::Gc | Content::Skip) {
            // The bytes were checked, so that it does not fail.
            let _ = item.read(block);
        }
        item
    }

    fn read(&mut self, block: &Block<'_>) -> Result<(), ReadError> {
        let mut reader = Reader::new(block.bytes());
        let has_key = block.bytes()[0] & HAS_KEY != 0;
        self.root = read_root(&mut reader)?;
        self.says = match block.content {
            _ if has_key => Some(RootType::Map),
            Content::Deleted => None,
            Content::String | Content::Embed | Content::Format => Some(RootType::Text),
            Content::Type if XML.contains(&reader.var_uint()?) => Some(RootType::Xml),
            _ => Some(RootType::Array),
        };
        Ok(())
    }
}

/// Reads the beginning of a block that is an item, up to its content; gives the root that it names.
fn read_root(reader: &mut Reader<'_>) -> Result<Option<String>, ReadError> {
    let info = reader.u8()?;
    for _ in 0..(info & HAS_ORIGINS).count_ones() * 2 {
        reader.var_uint()?;
    }
    let mut root = None;
    if info & HAS_ORIGINS == 0 {
        match reader.var_uint()? {
            1 => root = Some(reader.var_string()?.to_owned()),
            _ => drop((reader.var_uint()?, reader.var_uint()?)),
        }
        if info & HAS_KEY != 0 {
            reader.var_string()?;
        }
    }
    Ok(root)
}

/// Whether a block is a nested type with this reference.
pub(super) fn is_type(block: &Block<'_>, reference: u64) -> bool {
    let mut reader = Reader::new(block.bytes());
    let read = |reader: &mut Reader<'_>| read_root(reader).and_then(|_| reader.var_uint());
    block.content == Content::Type && read(&mut reader) == Ok(reference)
}

/// In which root blocks are; `None`: in a nested type.
#[derive(Default)]
struct Places(BTreeMap<Id, (Clock, Option<String>)>);

impl Places {
    /// `None` if that is not known yet.
    fn root_of(&self, item: &Item) -> Option<Option<String>> {
        match item.beside {
            None => Some(item.root.clone()),
            Some(id) => {
                let (start, (end, root)) = self.0.range(..=id).next_back()?;
                (start.client == id.client && id.clock < *end).then(|| root.clone())
            }
        }
    }

    fn insert(&mut self, item: &Item, root: Option<String>) {
        self.0.insert(item.id, (item.end, root));
    }
}
