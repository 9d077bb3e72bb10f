//! How clusters are cut into work.

use proptest::prelude::*;

use super::*;

/// Every position is in one block or split, and a block's cost is near its share.
fn check(sizes: &[usize], n_numbers: usize) -> Result<(), TestCaseError> {
    let partition = WorkPartition::new(sizes.iter().copied(), n_numbers, SPLIT_ROWS);
    let mut visits = vec![0; sizes.len()];
    let mut end = 0;
    for (i, block) in partition.blocks.iter().enumerate() {
        prop_assert_eq!(block.start, end, "blocks follow each other");
        end = block.end;
        partition.block(i).for_each(|position| visits[position] += 1);
    }
    partition.split.iter().for_each(|&position| visits[position] += 1);
    prop_assert!(visits.iter().all(|&n| n == 1), "{:?}", visits);
    let total: usize = sizes.iter().sum();
    for &position in &partition.split {
        prop_assert!(sizes[position] >= SPLIT_ROWS && sizes[position] * SPLIT_SHARE > total);
    }
    let in_blocks = |i: usize| !partition.split.contains(&i);
    let largest = (0..sizes.len()).filter(|&i| in_blocks(i)).map(|i| sizes[i]).max();
    prop_assert_eq!(partition.most_rows, largest.unwrap_or(0));
    // No block is heavier than a share of all and its last cluster.
    let cost = |positions: &mut dyn Iterator<Item = usize>| positions.map(|i| sizes[i] + CLUSTER_COST).sum::<usize>();
    let all = cost(&mut (0..sizes.len()).filter(|&i| in_blocks(i)));
    for i in 0..partition.blocks.len() {
        let share = all.div_ceil(partition.blocks.len());
        prop_assert!(cost(&mut partition.block(i)) <= 2 * share + partition.most_rows + CLUSTER_COST);
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_cluster_is_visited_once(
        small in prop::collection::vec(1..200_usize, 0..300),
        large in prop::collection::vec((0..300_usize, 900..20_000_usize), 0..4),
        n_numbers in prop::sample::select(vec![1_usize, 100, 1_000_000, usize::MAX]),
    ) {
        let mut sizes = small;
        for (at, size) in large {
            sizes.insert(at.min(sizes.len()), size);
        }
        prop_assume!(!sizes.is_empty());
        check(&sizes, n_numbers)?;
    }
}

#[test]
fn few_clusters_and_one_giant() {
    for sizes in [&[1][..], &[100_000], &[1, 100_000], &[100_000, 1], &[1024, 1024], &[1023, 1], &[5; 1000]] {
        check(sizes, 100).unwrap();
    }
    assert_eq!(WorkPartition::new([3, 100_000, 2].into_iter(), 10, SPLIT_ROWS).split, [1]);
    // Large, but no more than others: whole clusters keep the threads busy.
    assert!(WorkPartition::new([2000; 100].into_iter(), 10, SPLIT_ROWS).split.is_empty());
}
