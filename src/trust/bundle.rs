//! The signatures of an image, and of what is behind it, where there is neither a tag nor a list of referrers to find them
//! by: in an archive, or in a layout in a folder.
//!
//! Each manifest has its signatures in an [`Attachment`], as in a registry. Those are listed in an index of their own under
//! the tags that they have there, and the image's entry in `index.json` names that index by an annotation. Beside the
//! image they would be more in `index.json` than the one image that `skopeo` and `podman load` want to find there, and that
//! `docker load` lists. Who puts them there all the same, as tools for referrers do, is understood.

use std::collections::BTreeMap;

use super::attachment::{ARTIFACT_TYPE, Attachment, MAX_SIGNATURES, signature_tag};
use super::{MAX_PAYLOAD, Signature};
use crate::digest::Digest;
use crate::oci::manifest::{ANNOTATION_REF_NAME, MAX_MANIFEST};
use crate::oci::{Descriptor, Document, Index, Manifest, media};

/// The annotation of an image's entry that names the index of its signatures.
pub const ANNOTATION_SIGNATURES: &str = "vnd.imgbuild.signatures";

/// How many manifests of an index of signatures are looked at: as many platforms has no image.
const MAX_SIGNED: usize = 1024;

/// Signatures as documents that go along with an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// The index of them.
    pub index: Digest,
    /// All that is to be written, the index as well.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
}

/// The signatures of manifests, by their digests.
pub type Signed = BTreeMap<Digest, Vec<Signature>>;

impl Bundle {
    /// The signatures of these manifests; none if there are none.
    pub fn new<'a>(signed: impl IntoIterator<Item = (&'a Descriptor, &'a [Signature])>) -> Option<Self> {
        let (mut entries, mut blobs) = (Vec::new(), BTreeMap::new());
        for (image, signatures) in signed {
            if signatures.is_empty() {
                continue;
            }
            let Attachment { mut entry, manifest, blobs: parts } = Attachment::new(image, signatures);
            entry.annotations.insert(ANNOTATION_REF_NAME.into(), signature_tag(&image.digest));
            blobs.insert(entry.digest, manifest);
            blobs.extend(parts.into_iter().map(|(part, bytes)| (part.digest, bytes)));
            entries.push(entry);
        }
        if entries.is_empty() {
            return None;
        }
        entries.sort_by_key(|entry| entry.digest);
        let index = Index::new(entries).to_json();
        let digest = Digest::of(&index);
        blobs.insert(digest, index);
        Some(Self { index: digest, blobs })
    }

    /// What says of an image's entry that these are its signatures.
    pub fn annotation(&self) -> (String, String) {
        (ANNOTATION_SIGNATURES.into(), self.index.to_string())
    }

    /// The signatures that go along with the images of these entries of an `index.json`. A document that is missing, or is not
    /// what it should be, has none. Nothing of them was checked.
    ///
    /// `blob` is asked for documents by digest, and for no more than so many bytes.
    pub fn read<E>(
        entries: &[Descriptor],
        mut blob: impl FnMut(&Digest, u64) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Signed, E> {
        let mut attachments: Vec<Descriptor> = entries.iter().filter(|entry| is_attachment(entry)).cloned().collect();
        let named = entries.iter().filter_map(|entry| entry.annotations.get(ANNOTATION_SIGNATURES)?.parse().ok());
        let mut indexes: Vec<Digest> = named.collect();
        indexes.sort();
        indexes.dedup();
        for index in indexes {
            if let Some(Ok(Document::Index(index))) = blob(&index, MAX_MANIFEST)?.map(|json| Document::parse(&json)) {
                attachments.extend(index.manifests.into_iter().filter(is_attachment).take(MAX_SIGNED));
            }
        }
        let mut signed = Signed::new();
        for entry in attachments {
            let document = blob(&entry.digest, MAX_MANIFEST)?.map(|json| Document::parse(&json));
            let Some(Ok(Document::Manifest(manifest))) = document else { continue };
            let Some(image) = subject(&entry, &manifest) else { continue };
            let found = signed.entry(image).or_default();
            for (payload, bytes) in Attachment::payloads(&manifest) {
                let payload = blob(&payload.digest, MAX_PAYLOAD)?;
                found.extend(payload.map(|payload| Signature { payload, bytes }));
            }
            found.sort();
            found.dedup();
            found.truncate(MAX_SIGNATURES);
        }
        Ok(signed)
    }
}

/// Whether an entry of an index is a manifest with signatures, by what it is or by its tag.
pub fn is_attachment(entry: &Descriptor) -> bool {
    let manifest = media::is_manifest(&entry.media_type);
    manifest && (entry.artifact_type.as_deref() == Some(ARTIFACT_TYPE) || tagged(entry).is_some())
}

/// What it has the signatures of.
fn subject(entry: &Descriptor, manifest: &Manifest) -> Option<Digest> {
    manifest.subject.as_ref().map(|subject| subject.digest).or_else(|| tagged(entry))
}

/// What an entry has the signatures of by its tag.
fn tagged(entry: &Descriptor) -> Option<Digest> {
    let tag = entry.annotations.get(ANNOTATION_REF_NAME)?;
    Digest::from_hex(tag.strip_prefix("sha256-")?.strip_suffix(".sig")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(text: &str) -> Signature {
        Signature { payload: text.into(), bytes: text.to_uppercase().into() }
    }

    fn read(entries: &[Descriptor], blobs: &BTreeMap<Digest, Vec<u8>>) -> Signed {
        let blob = |digest: &Digest, limit: u64| {
            let found = blobs.get(digest).filter(|bytes| bytes.len() as u64 <= limit);
            Ok::<_, std::convert::Infallible>(found.cloned())
        };
        Bundle::read(entries, blob).unwrap()
    }

    #[test]
    fn goes_along_and_is_read_again() {
        let (index, image) = (Descriptor::of(media::INDEX, b"index"), Descriptor::of(media::MANIFEST, b"image"));
        let of = |image: &Descriptor, all: &[&str]| (image.digest, all.iter().map(|one| signature(one)).collect());
        let expected: Signed = [of(&index, &["a", "b"]), of(&image, &["c"])].into();
        let signed = [(&index, &expected[&index.digest][..]), (&image, &expected[&image.digest][..])];
        let bundle = Bundle::new(signed).unwrap();
        assert_eq!(Some(&bundle), Bundle::new(signed.into_iter().rev()).as_ref(), "in any order");
        assert_eq!(Bundle::new([(&index, &[][..])]), None);
        let mut entry = index.clone();
        entry.annotations.extend([bundle.annotation()]);
        assert_eq!(read(&[entry.clone(), entry.clone()], &bundle.blobs), expected);
        assert_eq!(read(std::slice::from_ref(&index), &bundle.blobs), Signed::new());

        // As those have it who list them beside the image, with a type, with a tag, or with both.
        let Ok(Document::Index(list)) = Document::parse(&bundle.blobs[&bundle.index]) else { panic!("no index") };
        assert_eq!(read(&list.manifests, &bundle.blobs), expected);
        let strip = |entry: &Descriptor, tag: bool| {
            let mut entry = entry.clone();
            if tag {
                entry.annotations.clear()
            } else {
                entry.artifact_type = None
            }
            entry
        };
        for tag in [false, true] {
            let entries: Vec<Descriptor> = list.manifests.iter().map(|entry| strip(entry, tag)).collect();
            assert_eq!(read(&entries, &bundle.blobs), expected, "without its tag: {tag}");
        }

        // What is missing or damaged has none.
        for lost in bundle.blobs.keys() {
            let mut blobs = bundle.blobs.clone();
            blobs.insert(*lost, b"{}".to_vec());
            read(&[entry.clone()], &blobs);
            blobs.remove(lost);
            let found = read(&[entry.clone()], &blobs);
            assert!(found.iter().all(|(image, all)| all.iter().all(|one| expected[image].contains(one))), "{lost}");
        }
    }

    #[test]
    fn knows_what_has_signatures() {
        let check = |change: &dyn Fn(&mut Descriptor), expected: bool| {
            let mut entry = Descriptor::of(media::MANIFEST, b"x");
            change(&mut entry);
            assert_eq!(is_attachment(&entry), expected, "{entry:?}");
        };
        let tag = |tag: &str| {
            let tag = tag.to_owned();
            move |entry: &mut Descriptor| drop(entry.annotations.insert(ANNOTATION_REF_NAME.into(), tag.clone()))
        };
        let digest = Digest::of(b"y");
        check(&|_| {}, false);
        check(&|entry| entry.artifact_type = Some(ARTIFACT_TYPE.into()), true);
        check(&|entry| entry.artifact_type = Some("text/plain".into()), false);
        check(&tag(&signature_tag(&digest)), true);
        check(&tag(&format!("sha256-{}.att", digest.hex())), false);
        check(&tag("sha256-12.sig"), false);
        check(
            &|entry| (entry.media_type, entry.artifact_type) = (media::INDEX.into(), Some(ARTIFACT_TYPE.into())),
            false,
        );
    }
}
