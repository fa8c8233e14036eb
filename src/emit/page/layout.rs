//! Places for the nodes of a layered drawing, and curves between them (after Sugiyama, Tagawa and Toda, 1981).
//!
//! 1. A node is one layer below the lowest of its sources; one without sources right above its first reader.
//! 2. An edge over several layers gets a *joint* in each layer between, so that nothing stands on it.
//! 3. Sweeps down and up order each layer by where the neighbours stand on average.
//! 4. More sweeps move each layer as near to its neighbours as the distances between its members allow. That is a least
//!    squares problem with a fixed order, which pooling adjacent violators solves exactly.
//!
//! Units are pixels; y grows downwards. Deterministic: sorts are stable and sums have a fixed order.

pub const NODE_WIDTH: f64 = 214.0;
pub const NODE_HEIGHT: f64 = 44.0;
/// Width of an edge that passes a layer.
const JOINT_WIDTH: f64 = 14.0;
const COLUMN_GAP: f64 = 22.0;
const LAYER: f64 = NODE_HEIGHT + 30.0;
const MARGIN: f64 = 24.0;
const ORDER_SWEEPS: usize = 6;
const PLACE_SWEEPS: usize = 12;
/// How much more a joint wants to stand in line with another than a node does: long edges become straight.
const JOINT_WEIGHT: f64 = 6.0;
/// How much a node without sources draws the one that reads it.
const FREE_WEIGHT: f64 = 0.05;

pub struct Layout {
    pub width: f64,
    pub height: f64,
    /// Left upper corners.
    pub places: Vec<(f64, f64)>,
    /// Ends, and path data of SVG.
    pub edges: Vec<(usize, usize, String)>,
}

/// A node, or a joint of an edge.
#[derive(Clone, Debug)]
struct Cell {
    depth: usize,
    is_joint: bool,
    above: Vec<usize>,
    below: Vec<usize>,
    /// Of its middle.
    x: f64,
}

impl Cell {
    fn width(&self) -> f64 {
        if self.is_joint { JOINT_WIDTH } else { NODE_WIDTH }
    }
}

/// Cells by layer, from left to right; the first cells are the nodes.
struct Grid {
    cells: Vec<Cell>,
    layers: Vec<Vec<usize>>,
}

impl Layout {
    /// `sources[node]` are smaller than `node`.
    pub fn new(sources: &[Vec<usize>]) -> Layout {
        let (mut grid, paths) = Grid::new(sources);
        for sweep in 0..ORDER_SWEEPS {
            grid.sweep(sweep % 2 == 0, Grid::order);
        }
        grid.spread();
        for sweep in 0..PLACE_SWEEPS {
            grid.sweep(sweep % 2 == 0, Grid::approach);
        }
        let (left, right) = grid.extent();
        let corner = |cell: &Cell| (cell.x - left - cell.width() / 2.0 + MARGIN, MARGIN + cell.depth as f64 * LAYER);
        let places = grid.cells[..sources.len()].iter().map(corner).collect();
        let edges = paths.iter().map(|path| {
            let points: Vec<(f64, f64)> =
                path.iter().map(|&cell| (grid.cells[cell].x - left + MARGIN, corner(&grid.cells[cell]).1)).collect();
            (path[0], path[path.len() - 1], curve(&points))
        });
        Layout {
            width: right - left + 2.0 * MARGIN,
            height: (grid.layers.len() as f64 - 1.0).max(0.0) * LAYER + NODE_HEIGHT + 2.0 * MARGIN,
            places,
            edges: edges.collect(),
        }
    }
}

impl Grid {
    /// The cells, and of each edge its way through them.
    fn new(sources: &[Vec<usize>]) -> (Grid, Vec<Vec<usize>>) {
        let cell = |depth, is_joint| Cell { depth, is_joint, above: Vec::new(), below: Vec::new(), x: 0.0 };
        let depths = depths(sources);
        let mut cells: Vec<Cell> = depths.iter().map(|&depth| cell(depth, false)).collect();
        let mut paths = Vec::new();
        for (to, from) in sources.iter().enumerate().flat_map(|(to, from)| from.iter().map(move |&from| (to, from))) {
            let mut path = vec![from];
            for depth in depths[from] + 1..depths[to] {
                path.push(cells.len());
                cells.push(cell(depth, true));
            }
            path.push(to);
            for pair in path.windows(2) {
                cells[pair[0]].below.push(pair[1]);
                cells[pair[1]].above.push(pair[0]);
            }
            paths.push(path);
        }
        let mut layers = vec![Vec::new(); depths.iter().max().map_or(0, |depth| depth + 1)];
        for (index, cell) in cells.iter().enumerate() {
            layers[cell.depth].push(index);
        }
        let mut grid = Grid { cells, layers };
        grid.spread();
        (grid, paths)
    }

    /// Runs over the layers but the first one, downwards or upwards; each looks at its neighbours in the layer before.
    fn sweep(&mut self, down: bool, visit: fn(&mut Grid, usize, bool)) {
        let count = self.layers.len();
        for step in 1..count {
            visit(self, if down { step } else { count - 1 - step }, down);
        }
    }

    /// Puts every layer's cells side by side, around zero.
    fn spread(&mut self) {
        for layer in &self.layers {
            let width: f64 = layer.iter().map(|&cell| self.cells[cell].width() + COLUMN_GAP).sum();
            let mut x = -width / 2.0;
            for &cell in layer {
                let cell = &mut self.cells[cell];
                let step = cell.width() + COLUMN_GAP;
                cell.x = x + step / 2.0;
                x += step;
            }
        }
    }

    /// Sorts a layer by where its neighbours stand.
    fn order(&mut self, layer: usize, down: bool) {
        let mut members = std::mem::take(&mut self.layers[layer]);
        let mut wishes: Vec<(f64, usize)> = members.iter().map(|&cell| (self.wish(cell, down).0, cell)).collect();
        wishes.sort_by(|a, b| a.0.total_cmp(&b.0));
        members.clear();
        members.extend(wishes.into_iter().map(|(_, cell)| cell));
        self.layers[layer] = members;
        self.approach(layer, down);
    }

    /// Where a cell would stand best for its neighbours above or below, and how much that matters.
    fn wish(&self, cell: usize, down: bool) -> (f64, f64) {
        let own = &self.cells[cell];
        let (mut sum, mut weight) = (0.0, 0.0);
        for &other in if down { &own.above } else { &own.below } {
            let other = &self.cells[other];
            let one = match (own.is_joint && other.is_joint, other.above.is_empty()) {
                (true, _) => JOINT_WEIGHT,
                // It can stand anywhere, and shall not draw the others aside.
                (false, true) => FREE_WEIGHT,
                (false, false) => 1.0,
            };
            sum += one * other.x;
            weight += one;
        }
        if weight == 0.0 { (own.x, 0.1) } else { (sum / weight, weight) }
    }

    /// Moves the cells of a layer as near to their wishes as their order and widths allow.
    fn approach(&mut self, layer: usize, down: bool) {
        // Without the distances a block of cells that touch is one number: the mean of what they wish.
        let mut offset = 0.0;
        let mut offsets = Vec::new();
        let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
        let mut before: Option<f64> = None;
        for &cell in &self.layers[layer] {
            let width = self.cells[cell].width();
            offset += before.map_or(0.0, |before| (before + width) / 2.0 + COLUMN_GAP);
            before = Some(width);
            offsets.push(offset);
            let (wish, weight) = self.wish(cell, down);
            let mut block = ((wish - offset) * weight, weight, 1);
            while let Some(&(sum, weight, count)) = blocks.last() {
                if sum / weight < block.0 / block.1 {
                    break;
                }
                block = (block.0 + sum, block.1 + weight, block.2 + count);
                blocks.pop();
            }
            blocks.push(block);
        }
        let shared = blocks.iter().flat_map(|&(sum, weight, count)| std::iter::repeat_n(sum / weight, count));
        for ((&cell, offset), base) in self.layers[layer].iter().zip(offsets).zip(shared) {
            self.cells[cell].x = base + offset;
        }
    }

    /// Left and right end of the drawing.
    fn extent(&self) -> (f64, f64) {
        let left = self.cells.iter().map(|cell| cell.x - cell.width() / 2.0).reduce(f64::min);
        let right = self.cells.iter().map(|cell| cell.x + cell.width() / 2.0).reduce(f64::max);
        (left.unwrap_or(0.0), right.unwrap_or(0.0))
    }
}

/// Length of the longest way to each node. What has no sources stands right above the first that reads it.
fn depths(sources: &[Vec<usize>]) -> Vec<usize> {
    let mut depths: Vec<usize> = Vec::with_capacity(sources.len());
    for sources in sources {
        let depth = sources.iter().map(|&source| depths[source] + 1).max().unwrap_or(0);
        depths.push(depth);
    }
    let mut first_reader: Vec<Option<usize>> = vec![None; sources.len()];
    for (node, sources) in sources.iter().enumerate() {
        for &source in sources {
            let reader = first_reader[source].get_or_insert(depths[node]);
            *reader = depths[node].min(*reader);
        }
    }
    for (node, reader) in first_reader.into_iter().enumerate() {
        if let Some(reader) = reader.filter(|_| sources[node].is_empty()) {
            depths[node] = reader.saturating_sub(1);
        }
    }
    depths
}

/// From the lower edge of the first to the upper edge of the last; straight beside the nodes of the layers between.
/// Points are the middles of the cells' upper edges.
fn curve(points: &[(f64, f64)]) -> String {
    let handle = (LAYER - NODE_HEIGHT) * 0.55;
    let mut data = format!("M{:.0} {:.0}", points[0].0, points[0].1 + NODE_HEIGHT);
    for (index, pair) in points.windows(2).enumerate() {
        let ((x1, y1), (x2, y2)) = (pair[0], pair[1]);
        let bottom = y1 + NODE_HEIGHT;
        if index > 0 {
            data += &format!(" V{bottom:.0}");
        }
        if (x1 - x2).abs() < 0.5 {
            data += &format!(" V{y2:.0}");
        } else {
            data += &format!(" C{x1:.0} {:.0} {x2:.0} {:.0} {x2:.0} {y2:.0}", bottom + handle, y2 - handle);
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sources: &[Vec<usize>]) -> Layout {
        let layout = Layout::new(sources);
        for (node, sources) in sources.iter().enumerate() {
            assert!(sources.iter().all(|&source| layout.places[source].1 < layout.places[node].1), "{node}");
        }
        for (index, a) in layout.places.iter().enumerate() {
            let apart = |b: &(f64, f64)| a.1 != b.1 || (a.0 - b.0).abs() >= NODE_WIDTH;
            assert!(layout.places[..index].iter().all(apart), "{index}");
            assert!(a.0 >= 0.0 && a.0 + NODE_WIDTH <= layout.width && a.1 + NODE_HEIGHT <= layout.height);
        }
        assert_eq!(layout.edges.len(), sources.iter().map(Vec::len).sum::<usize>());
        layout
    }

    #[test]
    fn nodes_stand_below_their_sources_and_apart() {
        check(&[]);
        check(&[vec![], vec![0], vec![0], vec![1], vec![2], vec![0, 3, 4]]);
        // Pseudo-random ones.
        for seed in 1..20_usize {
            let source = |node: usize, number: usize| (node * 7 + number * 5 + seed * 3) % node;
            let graph: Vec<Vec<usize>> =
                (0..60).map(|node| (0..node.min(1 + (node * seed) % 3)).map(|n| source(node, n)).collect()).collect();
            check(&graph);
        }
    }

    #[test]
    fn a_chain_is_a_straight_line_and_a_bypass_leaves_it() {
        let layout = check(&[vec![], vec![0], vec![1], vec![2, 0]]);
        assert!(layout.places.iter().all(|place| (place.0 - layout.places[0].0).abs() <= NODE_WIDTH));
        let chain = check(&[vec![], vec![0], vec![1]]);
        assert!(chain.places.iter().all(|place| place.0 == chain.places[0].0));
        assert_eq!(
            chain.edges[0].2,
            format!("M{0:.0} {1:.0} V{2:.0}", MARGIN + NODE_WIDTH / 2.0, MARGIN + NODE_HEIGHT, MARGIN + LAYER)
        );
    }
}
