//! Databases of rpm that are put together here, whole, cut short and lying.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::attest::pieces::Order;

/// A header with these values: strings, and numbers of four bytes.
fn header(texts: &[(u32, &str)], numbers: &[(u32, u32)]) -> Vec<u8> {
    let (mut index, mut values) = (Vec::new(), Vec::new());
    let mut entry = |tag: u32, kind: u32, value: &[u8]| {
        let fields = [tag, kind, u32::try_from(values.len()).unwrap(), 1];
        index.extend(fields.iter().flat_map(|field| field.to_be_bytes()));
        values.extend_from_slice(value);
    };
    for (tag, number) in numbers {
        entry(*tag, 4, &number.to_be_bytes());
    }
    for (tag, text) in texts {
        entry(*tag, 6, format!("{text}\0").as_bytes());
    }
    let counts = [index.len() / 16, values.len()].map(|count| u32::try_from(count).unwrap().to_be_bytes());
    [counts.concat(), index, values].concat()
}

fn bash() -> Vec<u8> {
    header(
        &[
            (1000, "bash"),
            (1001, "5.2.15"),
            (1002, "3.fc38"),
            (1014, "GPLv3+"),
            (1011, "Fedora Project"),
            (1022, "x86_64"),
            (1044, "bash-5.2.15-3.fc38.src.rpm"),
        ],
        &[],
    )
}

/// One that does not fit into a page.
fn long() -> Vec<u8> {
    let words = "words ".repeat(200);
    header(&[(1004, &words), (1000, "Long"), (1001, "1"), (1002, "2"), (1014, "MIT")], &[(1003, 7)])
}

fn key() -> Vec<u8> {
    header(&[(1000, "gpg-pubkey"), (1001, "1234"), (1002, "5678")], &[])
}

/// Pages of 512 bytes.
struct Book(Vec<Vec<u8>>);

impl Book {
    fn add(&mut self, mut page: Vec<u8>) -> u32 {
        assert!(page.len() <= 512);
        page.resize(512, 0);
        self.0.push(page);
        u32::try_from(self.0.len()).unwrap()
    }
}

fn varint(number: usize) -> Vec<u8> {
    match number {
        0..0x80 => vec![number as u8],
        _ => vec![(number >> 7) as u8 | 0x80, (number & 0x7f) as u8],
    }
}

/// A page of SQLite's with these cells, which begins at `start`.
fn tree_page(start: usize, inner: Option<u32>, cells: &[Vec<u8>]) -> Vec<u8> {
    let mut page = vec![0; 512];
    page[start] = if inner.is_some() { 5 } else { 13 };
    page[start + 3..start + 5].copy_from_slice(&u16::try_from(cells.len()).unwrap().to_be_bytes());
    page[start + 8..start + 12].copy_from_slice(&inner.unwrap_or(0).to_be_bytes());
    let pointers = start + if inner.is_some() { 12 } else { 8 };
    let mut end = 512;
    for (number, cell) in cells.iter().enumerate() {
        end -= cell.len();
        page[end..end + cell.len()].copy_from_slice(cell);
        let pointer = pointers + 2 * number;
        page[pointer..pointer + 2].copy_from_slice(&u16::try_from(end).unwrap().to_be_bytes());
    }
    page
}

/// The cell of a row of two columns, the first of which is the row's number; what is too long goes to other pages.
fn cell(book: &mut Book, number: usize, blob: &[u8]) -> Vec<u8> {
    let kind = varint(12 + 2 * blob.len());
    let row = [varint(2 + kind.len()), vec![0], kind, blob.to_vec()].concat();
    let mut cell = [varint(row.len()), varint(number)].concat();
    let least = (512 - 12) * 32 / 255 - 23;
    let here = match least + (row.len().saturating_sub(least)) % 508 {
        _ if row.len() <= 477 => row.len(),
        some if some <= 477 => some,
        _ => least,
    };
    cell.extend_from_slice(&row[..here]);
    let mut next = 0_u32;
    let parts: Vec<&[u8]> = row[here..].chunks(508).collect();
    for part in parts.iter().rev() {
        next = book.add([&next.to_be_bytes()[..], part].concat());
    }
    if !parts.is_empty() {
        cell.extend(next.to_be_bytes());
    }
    cell
}

/// A database of SQLite: a schema on the first page, a page that leads to others, one for each row.
fn sqlite(rows: &[Vec<u8>]) -> Vec<u8> {
    let mut book = Book(vec![Vec::new(), Vec::new()]);
    let leaves: Vec<u32> = rows
        .iter()
        .enumerate()
        .map(|(number, row)| {
            let cell = cell(&mut book, number + 1, row);
            book.add(tree_page(0, None, &[cell]))
        })
        .collect();
    let (last, others) = leaves.split_last().unwrap();
    let cells: Vec<Vec<u8>> = others.iter().map(|leaf| [&leaf.to_be_bytes()[..], &[1]].concat()).collect();
    book.0[1] = tree_page(0, Some(*last), &cells);
    let entry = |name: &str, root: u8| {
        let text = |text: &str| varint(13 + 2 * text.len());
        let kinds = [text("table"), text(name), text(name), vec![1], text("CREATE")].concat();
        let row =
            [varint(kinds.len() + 1), kinds, [b"table", name.as_bytes(), name.as_bytes(), &[root], b"CREATE"].concat()];
        let row = row.concat();
        [varint(row.len()), vec![1], row].concat()
    };
    book.0[0] = tree_page(100, None, &[entry("Name", 9), entry("Packages", 2)]);
    book.0[0][..18].copy_from_slice(b"SQLite format 3\0\x02\0");
    book.0.concat()
}

/// A database of rpm's own, with a free slot before the others.
fn ndb(blobs: &[Vec<u8>]) -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let mut file = [b"RpmP".to_vec(), words(&[0, 1, 1, 9, 0, 0, 0]), b"Slot".to_vec(), words(&[0, 0, 0])].concat();
    let mut data = Vec::new();
    for (number, blob) in blobs.iter().enumerate() {
        let (number, length) = (u32::try_from(number).unwrap() + 1, u32::try_from(blob.len()).unwrap());
        let block = u32::try_from((4096 + data.len()) / 16).unwrap();
        data.extend([b"BlbS".to_vec(), words(&[number, 1, length]), blob.clone()].concat());
        data.resize((data.len() + 12).next_multiple_of(16) - 12, 0);
        data.extend([words(&[0, length]), b"BlbE".to_vec()].concat());
        file.extend([b"Slot".to_vec(), words(&[number, block, length.div_ceil(16) + 2])].concat());
    }
    while file.len() < 4096 {
        file.extend([b"Slot".to_vec(), words(&[0, 0, 0])].concat());
    }
    [file, data].concat()
}

/// A hash of Berkeley DB with one bucket, whose page has what fits; the rest is on others.
fn berkeley(values: &[Vec<u8>], order: Order) -> Vec<u8> {
    let word = |word: u32| if order == Order::Big { word.to_be_bytes() } else { word.to_le_bytes() };
    let half = |half: usize| word(u32::try_from(half).unwrap())[if order == Order::Big { 2..4 } else { 0..2 }].to_vec();
    let mut book = Book(vec![Vec::new(), Vec::new()]);
    let page = |number: u32, next: u32, kind: u8, items: usize, free: usize| {
        [vec![0; 8], word(number).to_vec(), vec![0; 4], word(next).to_vec(), half(items), half(free), vec![0, kind]]
            .concat()
    };
    let (mut offsets, mut end) = (Vec::new(), 512);
    let mut bucket = vec![0; 512];
    for (number, value) in values.iter().enumerate() {
        let item = if value.len() < 300 {
            [&[1][..], value].concat()
        } else {
            let mut next = 0;
            for part in value.chunks(486).rev() {
                let number = u32::try_from(book.0.len()).unwrap();
                book.add([page(number, next, 7, 1, part.len()), part.to_vec()].concat());
                next = number;
            }
            [&[3, 0, 0, 0][..], &word(next), &word(u32::try_from(value.len()).unwrap())].concat()
        };
        for item in [vec![1, number as u8, 0, 0, 0], item] {
            end -= item.len();
            bucket[end..end + item.len()].copy_from_slice(&item);
            offsets.extend(half(end));
        }
    }
    let start = [page(1, 0, 13, 2 * values.len(), end), offsets].concat();
    bucket[..start.len()].copy_from_slice(&start);
    book.0[1] = bucket;
    let mut meta = vec![0; 512];
    for (place, value) in [(12, 0x0006_1561), (16, 9), (20, 512), (72, 0), (96, 1)] {
        meta[place..place + 4].copy_from_slice(&word(value));
    }
    book.0[0] = meta;
    book.0.concat()
}

fn list(format: Format, database: &[u8]) -> Vec<String> {
    let mut file = Cursor::new(database);
    let mut pieces = Pieces::new(&mut file, database.len() as u64);
    let found = read(format, &mut pieces);
    pieces.finish().unwrap();
    found.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
}

/// One of each kind, with a small, a long and no package.
fn samples() -> [(Format, Vec<u8>); 4] {
    let headers = [bash(), long(), key()];
    [
        (Format::RpmSqlite, sqlite(&headers)),
        (Format::RpmNdb, ndb(&headers)),
        (Format::RpmBerkeley, berkeley(&headers, Order::Little)),
        (Format::RpmBerkeley, berkeley(&headers, Order::Big)),
    ]
}

#[test]
fn lists_the_packages_of_each_kind() {
    for (format, database) in samples() {
        assert_eq!(list(format, &database), ["bash 5.2.15-3.fc38", "Long 7:1-2"], "{format:?}");
    }
}

#[test]
fn headers() {
    let check = |header: &[u8], expected: Option<(&str, &str)>| {
        let found = header::package(header);
        assert_eq!(found.as_ref().map(|found| (found.name.as_str(), found.version.as_str())), expected, "{header:?}");
    };
    check(&bash(), Some(("bash", "5.2.15-3.fc38")));
    check(&header(&[(1000, "a"), (1001, "1"), (1002, "1")], &[(1003, 0)]), Some(("a", "0:1-1")));
    check(&key(), None);
    check(&header(&[(1000, "a"), (1001, "1")], &[]), None);
    check(&header(&[(1000, ""), (1001, "1"), (1002, "1")], &[]), None);
    check(&header(&[(1000, &"a".repeat(1 << 15)), (1001, "1"), (1002, "1")], &[]), None);
    check(&header(&[(1001, "1"), (1002, "1")], &[(1000, 1)]), None);
    check(&[&[0xff; 8][..], &bash()[8..]].concat(), None);
    check(&[], None);
    let bash = header::package(&bash()).unwrap();
    assert_eq!(bash.license.as_deref(), Some("GPLv3+"));
    assert_eq!(bash.supplier.as_deref(), Some("Fedora Project"));
    assert_eq!(bash.architecture.as_deref(), Some("x86_64"));
    assert_eq!(bash.source.as_deref(), Some("bash-5.2.15-3.fc38.src.rpm"));
}

/// The number of a page, of four bytes, is written over at a place.
fn redirected(mut database: Vec<u8>, place: usize, page: [u8; 4]) -> Vec<u8> {
    database[place..place + 4].copy_from_slice(&page);
    database
}

#[test]
fn circles_end() {
    let headers = [bash(), long(), key()];
    // The last child of the root is the root, and the page after the first long part is that part.
    let root = redirected(sqlite(&headers), 512 + 8, [0, 0, 0, 2]);
    assert_eq!(list(Format::RpmSqlite, &root), ["bash 5.2.15-3.fc38", "Long 7:1-2"]);
    let part = redirected(sqlite(&headers), 512 * 3, [0, 0, 0, 4]);
    assert_eq!(list(Format::RpmSqlite, &part)[..1], ["bash 5.2.15-3.fc38"]);
    // The bucket goes on with itself.
    let bucket = redirected(berkeley(&headers, Order::Little), 512 + 16, [1, 0, 0, 0]);
    assert_eq!(list(Format::RpmBerkeley, &bucket)[..2], ["bash 5.2.15-3.fc38", "Long 7:1-2"]);
    let part = redirected(berkeley(&headers, Order::Little), 512 * 2 + 16, [2, 0, 0, 0]);
    assert_eq!(list(Format::RpmBerkeley, &part)[..1], ["bash 5.2.15-3.fc38"]);
    // All slots lead to the same blob, which is the package of the first of them only.
    let slot = ndb(&[bash()])[48..64].to_vec();
    let mut slots = ndb(&[bash()]);
    for place in (64..4096).step_by(16) {
        slots[place..place + 16].copy_from_slice(&slot);
    }
    assert!(list(Format::RpmNdb, &slots).len() < 16);
    // All cells of a page are the same one, which has room for two.
    let mut cells = sqlite(&headers);
    let leaf = 2 * 512;
    let cell = [cells[leaf + 8], cells[leaf + 9]];
    cells[leaf + 4] = 100;
    for pointer in 0..100 {
        cells[leaf + 8 + 2 * pointer..leaf + 10 + 2 * pointer].copy_from_slice(&cell);
    }
    assert_eq!(list(Format::RpmSqlite, &cells), ["bash 5.2.15-3.fc38", "bash 5.2.15-3.fc38", "Long 7:1-2"]);
    // More buckets than pages.
    let buckets = redirected(berkeley(&headers, Order::Little), 72, [0xff; 4]);
    assert_eq!(list(Format::RpmBerkeley, &buckets), [""; 0]);
}

/// A log with the frames of these pages, each of which is a transaction of its own if it says so.
fn log(frames: &[(u32, bool, &[u8])]) -> Vec<u8> {
    fn add(state: &mut (u32, u32), bytes: &[u8]) {
        for numbers in bytes.chunks(8) {
            let [first, second] = [0, 4].map(|at| Order::Little.u32(numbers, at).unwrap());
            state.0 = state.0.wrapping_add(first).wrapping_add(state.1);
            state.1 = state.1.wrapping_add(second).wrapping_add(state.0);
        }
    }
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let mut state = (0, 0);
    let mut log = words(&[0x377f_0682, 3_007_000, 512, 0, 11, 22]);
    add(&mut state, &log);
    log.extend(words(&[state.0, state.1]));
    for (page, committed, data) in frames {
        let head = words(&[*page, u32::from(*committed)]);
        add(&mut state, &head);
        add(&mut state, data);
        log.extend([head, words(&[11, 22, state.0, state.1]), data.to_vec()].concat());
    }
    log
}

#[test]
fn what_is_in_the_log_counts_once_it_is_committed() {
    let old = sqlite(&[bash(), key()]);
    let new = sqlite(&[header(&[(1000, "new"), (1001, "1"), (1002, "1")], &[]), key()]);
    let page = |number: usize| &new[512 * (number - 1)..512 * number];
    let check = |log: &[u8], expected: &str| {
        let (mut file, mut beside) = (Cursor::new(&old), Cursor::new(log));
        let beside = Pieces::new(&mut beside, log.len() as u64);
        let mut pieces = Pieces::new(&mut file, old.len() as u64).with(beside);
        assert_eq!(read(Format::RpmSqlite, &mut pieces)[0].name, expected);
        pieces.finish().unwrap();
    };
    let committed = log(&[(3, false, page(3)), (1, true, page(1))]);
    check(&committed, "new");
    check(&log(&[(3, false, page(3)), (1, false, page(1))]), "bash");
    check(&log(&[(3, true, page(3)), (3, false, &old[1024..1536])]), "new");
    check(&log(&[(3, true, page(3)), (3, true, &old[1024..1536])]), "bash");
    for place in [0, 11, 20, 30, 33, 44, 100, 600] {
        let mut broken = committed.clone();
        broken[place] ^= 1;
        check(&broken, "bash");
    }
    for length in 0..committed.len() {
        check(&committed[..length], "bash");
    }
}

#[test]
fn a_broken_database_is_no_panic() {
    for (format, database) in samples() {
        for length in 0..database.len() {
            list(format, &database[..length]);
        }
        let mut changed = database.clone();
        for place in 0..changed.len() {
            for value in [0, 1, 0x7f, 0xff] {
                changed[place] = value;
                assert!(list(format, &changed).len() <= database.len());
            }
            changed[place] = database[place];
        }
    }
}

proptest! {
    #[test]
    fn nothing_in_a_database_is_a_panic(
        which in 0_usize..4,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<[u8; 4]>()), 1..8),
    ) {
        let (format, mut database) = samples().into_iter().nth(which).unwrap();
        for (place, bytes) in changes {
            let place = place.index(database.len() - 3);
            database[place..place + 4].copy_from_slice(&bytes);
        }
        prop_assert!(list(format, &database).len() <= database.len());
    }
}
