//! The audit sees what is out of place.

use super::*;

fn sound() -> Index {
    let mut index = index((0..4).map(|_| ExitState {
        country: Some(*b"DE"),
        ..good(30)
    }));
    index.failed(at(1), ExitKey(2));
    index.audit(at(1)).expect("consistent");
    index
}

fn audited(plant: impl FnOnce(&mut Index)) -> Mismatch {
    let mut index = sound();
    plant(&mut index);
    index.audit(at(1)).expect_err("planted")
}

fn audited_entry(key: u32, plant: impl FnOnce(&mut Entry)) -> Mismatch {
    let mismatch = audited(|index| plant(index.entry_mut(ExitKey(key)).expect("present")));
    assert_eq!(mismatch.key, Some(ExitKey(key)));
    mismatch
}

#[test]
fn a_defect_of_one_exit_is_found_and_named() {
    let details = [
        audited_entry(1, |entry| entry.position += 1),
        audited_entry(1, |entry| entry.position_in_country += 1),
        audited_entry(1, |entry| entry.set_state(good(60))),
        audited_entry(2, |entry| entry.review = at(9)),
        audited_entry(2, |entry| entry.trouble_mut().failed(at(1))),
    ]
    .map(|mismatch| mismatch.detail);
    assert_eq!(details[2], details[4], "both are in the wrong band");
    assert_eq!(BTreeSet::from(details).len(), 4);
}

#[test]
fn a_stranger_is_found() {
    let band = Band::best(1).expect("a bit is set");
    let stranger = ExitKey(9);
    let details = [
        audited(|index| index.count += 1),
        audited(|index| assert!(index.reviews.insert((at(9), stranger)))),
        audited(|index| assert_eq!(index.everywhere.push(band, stranger), 0)),
        audited(|index| {
            let germany = index
                .countries
                .get_mut(b"DE")
                .expect("four exits are there");
            assert_eq!(germany.push(band, stranger), 0);
        }),
        audited(|index| assert!(index.countries.insert(*b"FR", Buckets::default()).is_none())),
    ]
    .map(|mismatch| mismatch.detail);
    assert_eq!(BTreeSet::from(details).len(), 5);
}
