//! Places for the nodes of a layered drawing, and curves between them.
//!
//! A node is one layer below the lowest of its sources. In a layer, nodes stand in the order of where their sources stand on
//! average, which keeps most edges short and apart. An edge over several layers goes around the nodes between, on the right.
//! Units are pixels; y grows downwards.

pub const NODE_WIDTH: f64 = 230.0;
pub const NODE_HEIGHT: f64 = 42.0;
const COLUMN: f64 = NODE_WIDTH + 30.0;
const LAYER: f64 = NODE_HEIGHT + 34.0;
const MARGIN: f64 = 20.0;
/// How far to the right the handles of a long edge stand: the curve passes beside a node in the same column.
const BULGE: f64 = 0.8 * NODE_WIDTH;

pub struct Layout {
    pub width: f64,
    pub height: f64,
    /// Left upper corners.
    pub places: Vec<(f64, f64)>,
    /// Path data of SVG.
    pub edges: Vec<String>,
}

impl Layout {
    /// `sources[node]` are smaller than `node`.
    pub fn new(sources: &[Vec<usize>]) -> Layout {
        let depths = depths(sources);
        let layers = depths.iter().max().map_or(0, |depth| depth + 1);
        let mut nodes_at: Vec<Vec<usize>> = vec![Vec::new(); layers];
        for (node, &depth) in depths.iter().enumerate() {
            nodes_at[depth].push(node);
        }
        let columns = nodes_at.iter().map(Vec::len).max().unwrap_or(0);
        let mut places = vec![(0.0, 0.0); sources.len()];
        for (depth, nodes) in nodes_at.iter_mut().enumerate() {
            let mean = |node: usize| {
                let sum: f64 = sources[node].iter().map(|&source| places[source].0).sum();
                sum / sources[node].len().max(1) as f64
            };
            // Stable: equal nodes stay in the order of the program.
            nodes.sort_by(|&a, &b| mean(a).total_cmp(&mean(b)));
            let left = MARGIN + (columns - nodes.len()) as f64 * COLUMN / 2.0;
            for (slot, &node) in nodes.iter().enumerate() {
                places[node] = (left + slot as f64 * COLUMN, MARGIN + depth as f64 * LAYER);
            }
        }
        let pairs = sources.iter().enumerate().flat_map(|(to, from)| from.iter().map(move |&from| (from, to)));
        let edges = pairs.map(|(from, to)| curve(places[from], places[to], depths[to] - depths[from])).collect();
        let width = 2.0 * MARGIN + columns as f64 * COLUMN + BULGE;
        Layout { width, height: 2.0 * MARGIN + layers as f64 * LAYER, places, edges }
    }
}

/// Length of the longest way to each node.
fn depths(sources: &[Vec<usize>]) -> Vec<usize> {
    let mut depths: Vec<usize> = Vec::with_capacity(sources.len());
    for sources in sources {
        let depth = sources.iter().map(|&source| depths[source] + 1).max().unwrap_or(0);
        depths.push(depth);
    }
    depths
}

/// From the lower edge of one node to the upper edge of another, `layers` below.
fn curve(from: (f64, f64), to: (f64, f64), layers: usize) -> String {
    let (x1, y1) = (from.0 + NODE_WIDTH / 2.0, from.1 + NODE_HEIGHT);
    let (x2, y2) = (to.0 + NODE_WIDTH / 2.0, to.1);
    let aside = if layers > 1 { BULGE } else { 0.0 };
    let handle = (LAYER - NODE_HEIGHT) / 2.0;
    format!(
        "M{x1:.0} {y1:.0} C{:.0} {:.0} {:.0} {:.0} {x2:.0} {y2:.0}",
        x1 + aside,
        y1 + handle,
        x2 + aside,
        y2 - handle
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_stand_below_their_sources_and_apart() {
        let sources = [vec![], vec![0], vec![0], vec![1], vec![2], vec![0, 3, 4]];
        let layout = Layout::new(&sources);
        for (node, sources) in sources.iter().enumerate() {
            assert!(sources.iter().all(|&source| layout.places[source].1 < layout.places[node].1), "{node}");
        }
        for (index, a) in layout.places.iter().enumerate() {
            assert!(layout.places[..index].iter().all(|b| a != b), "{index}");
            assert!(a.0 >= 0.0 && a.0 + NODE_WIDTH < layout.width && a.1 + NODE_HEIGHT < layout.height);
        }
        assert_eq!(layout.edges.len(), 7);
    }
}
