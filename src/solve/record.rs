//! How a step's result is written down in the action cache: the identities of its layers, bottom first.

use crate::digest::{ChainId, TreeDigest};
use crate::solve::State;
use crate::store::layers::LayerId;

const VERSION: u8 = 1;

/// The bytes of a record.
pub fn encode(state: &State) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for layer in state {
        let (kind, digest) = match layer {
            LayerId::Image(chain) => (b'i', chain.as_bytes()),
            LayerId::Made(tree) => (b'm', tree.as_bytes()),
        };
        bytes.push(kind);
        bytes.extend_from_slice(digest);
    }
    bytes
}

/// The layers of a record; none if it is of another version or damaged.
pub fn decode(bytes: &[u8]) -> Option<State> {
    let (&VERSION, records) = bytes.split_first()? else { return None };
    let (chunks, []) = records.as_chunks::<33>() else { return None };
    let layer = |chunk: &[u8; 33]| {
        let digest: [u8; 32] = chunk[1..].try_into().ok()?;
        match chunk[0] {
            b'i' => Some(LayerId::Image(ChainId::from_bytes(digest))),
            b'm' => Some(LayerId::Made(TreeDigest::from_bytes(digest))),
            _ => None,
        }
    };
    chunks.iter().map(layer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes() {
        let state = vec![LayerId::Image(ChainId::from_bytes([1; 32])), LayerId::Made(TreeDigest::from_bytes([2; 32]))];
        assert_eq!(decode(&encode(&state)), Some(state.clone()));
        assert_eq!(decode(&encode(&State::new())), Some(State::new()));
        let bytes = encode(&state);
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(&[2]), None);
        assert_eq!(decode(&[]), None);
    }
}
