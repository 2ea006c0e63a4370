//! One sort for all that is sorted seldom.
use std::cmp::Ordering;

/// Sorts `items` by `compare`, equal ones as they stood: `slice::sort_by`, which is compiled anew for each kind of items,
/// 4 to 20 KB each time, where this is a few hundred bytes.
pub fn sort_by<T>(items: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    if items.is_sorted_by(|a, b| compare(a, b).is_le()) {
        return;
    }
    let mut places: Vec<usize> = (0..items.len()).collect();
    sort_places(&mut places, &|a, b| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal, // every place is one of theirs
    });
    let mut unsorted: Vec<Option<T>> = items.drain(..).map(Some).collect();
    let taken = places.iter().filter_map(|at| unsorted.get_mut(*at)?.take());
    items.extend(taken);
}

/// Sorts `items` in their own order.
pub fn sort<T: Ord>(items: &mut Vec<T>) {
    sort_by(items, T::cmp);
}

#[inline(never)]
fn sort_places(places: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    places.sort_by(|a, b| compare(*a, *b));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_as_the_standard_library_does() {
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        for length in [0, 1, 2, 3, 10, 20, 21, 100, 1000] {
            for kinds in [1, 2, 7, u32::MAX] {
                let items: Vec<(u32, usize)> =
                    (0..length).map(|at| (random() % kinds, at)).collect();
                let by_first = |a: &(u32, usize), b: &(u32, usize)| a.0.cmp(&b.0);
                let mut expected = items.clone();
                expected.sort_by(by_first);
                let mut got = items.clone();
                sort_by(&mut got, by_first);
                assert_eq!(got, expected, "{length} of {kinds} kinds");
                let mut texts: Vec<String> =
                    items.iter().map(|(text, _)| text.to_string()).collect();
                let mut expected = texts.clone();
                expected.sort();
                sort(&mut texts);
                assert_eq!(texts, expected);
            }
        }
    }
}
