//! Inner groups of clusters.

use crate::system::error::KernelError;
use crate::system::memory;

/// Inner groups: the codes of a cluster, numbered from 0.
#[derive(Debug)]
pub(super) struct Inner {
    /// A number a row.
    pub numbers: Vec<u32>,
    /// Distinct codes of each cluster in turn, rising.
    pub labels: Vec<i64>,
    /// Where those of a cluster start.
    pub starts: Vec<usize>,
}

impl Inner {
    pub fn new(codes: &[i64], offsets: &[usize]) -> Result<Self, KernelError> {
        let mut labels = Vec::new();
        let mut starts = memory::room("inner groups", offsets.len())?;
        starts.push(0);
        for pair in offsets.windows(2) {
            let mut sorted = memory::list("inner groups", codes[pair[0]..pair[1]].iter().copied())?;
            sorted.sort_unstable();
            sorted.dedup();
            memory::reserve_doubling("inner groups", &mut labels, sorted.len())?;
            labels.extend(sorted);
            starts.push(labels.len());
        }
        let mut inner = Self { numbers: memory::room("inner groups", codes.len())?, labels, starts };
        for (cluster, pair) in offsets.windows(2).enumerate() {
            let (numbers, _) = inner.numbered(cluster, &codes[pair[0]..pair[1]])?;
            inner.numbers.extend(numbers);
        }
        Ok(inner)
    }

    /// Groups of a cluster.
    pub fn count(&self, cluster: usize) -> usize {
        self.starts[cluster + 1] - self.starts[cluster]
    }

    /// Numbers of codes in a cluster, and how many there are with those of new groups, which come last.
    pub fn numbered(&self, cluster: usize, codes: &[i64]) -> Result<(Vec<u32>, usize), KernelError> {
        let known = &self.labels[self.starts[cluster]..self.starts[cluster + 1]];
        let mut new = Vec::new();
        for code in codes {
            if known.binary_search(code).is_err() {
                memory::reserve_one("inner groups", &mut new)?;
                new.push(*code);
            }
        }
        new.sort_unstable();
        new.dedup();
        let number = |code: &i64| match (known.binary_search(code), new.binary_search(code)) {
            (Ok(at), _) => at as u32,
            (Err(_), Ok(at) | Err(at)) => (known.len() + at) as u32,
        };
        Ok((memory::list("inner groups", codes.iter().map(number))?, known.len() + new.len()))
    }
}
