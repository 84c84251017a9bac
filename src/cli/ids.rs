//! Ids in tables: as many first digits as tell them apart, which commands take for the whole.

use uuid::Uuid;

/// Digits that are shown at least.
const FEWEST: usize = 8;

/// How many digits tell all of these ids apart.
pub(super) fn digits(ids: &[Uuid]) -> usize {
    let mut sorted: Vec<String> = ids.iter().map(|id| id.simple().to_string()).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let shared = sorted.windows(2).map(|pair| {
        let same = pair[0].chars().zip(pair[1].chars());
        same.take_while(|(one, other)| one == other).count()
    });
    shared.max().map_or(FEWEST, |shared| (shared + 1).max(FEWEST))
}

/// The first digits of an id.
pub(super) fn short(id: Uuid, digits: usize) -> String {
    id.simple().to_string().chars().take(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_digits_as_tell_them_apart() {
        let ids = [0x6f0c_3a52_4d0e_u128 << 80, 0x6f0c_3a52_4d1e_u128 << 80, 7 << 120]
            .map(Uuid::from_u128);
        assert_eq!(digits(&ids), 11);
        assert_eq!(ids.map(|id| short(id, 11)), ["6f0c3a524d0", "6f0c3a524d1", "07000000000"]);
        assert_eq!((digits(&[]), digits(&ids[..1])), (8, 8));
    }
}
