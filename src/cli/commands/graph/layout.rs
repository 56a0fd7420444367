//! Where everything goes in a picture: a layered layout with a lane for each stage.
//!
//! The rank of a step, its row, is the length of the longest way to it. Each stage, and each source outside of one, has
//! a lane of its own, so that the box around a stage holds nothing else. Lanes are ordered by where their neighbours are (the
//! barycenter), a few times back and forth, and those that have no row in common share a column.

use std::collections::BTreeMap;

use super::drawing::Drawing;

/// Rows and columns.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The row and column of each node.
    pub cells: Vec<(usize, usize)>,
    /// How many rows there are.
    pub rows: usize,
    /// How many columns there are.
    pub columns: usize,
}

/// How often the order of lanes is improved.
const SWEEPS: usize = 8;

/// Lays a drawing out.
pub fn layout(drawing: &Drawing) -> Layout {
    let rows = rows(drawing);
    let lanes = lanes(drawing);
    let count = lanes.iter().max().map_or(0, |last| last + 1);
    let order = order(drawing, &lanes, &rows, count);
    // Nodes of one lane in one row stand side by side.
    let mut places: Vec<usize> = vec![0; drawing.nodes.len()];
    let mut taken: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for node in 0..drawing.nodes.len() {
        let next = taken.entry((lanes[node], rows[node])).or_default();
        places[node] = *next;
        *next += 1;
    }
    let mut widths = vec![1; count];
    let mut spans = vec![(usize::MAX, 0); count];
    for node in 0..drawing.nodes.len() {
        let lane = lanes[node];
        widths[lane] = widths[lane].max(places[node] + 1);
        spans[lane] = (spans[lane].0.min(rows[node]), spans[lane].1.max(rows[node]));
    }
    let starts = columns(&order, &widths, &spans);
    let cells: Vec<(usize, usize)> =
        (0..drawing.nodes.len()).map(|node| (rows[node], starts[lanes[node]] + places[node])).collect();
    Layout {
        rows: cells.iter().map(|(row, _)| row + 1).max().unwrap_or(0),
        columns: cells.iter().map(|(_, column)| column + 1).max().unwrap_or(0),
        cells,
    }
}

/// The row of each node.
fn rows(drawing: &Drawing) -> Vec<usize> {
    let mut rows: Vec<usize> = vec![0; drawing.nodes.len()];
    let mut has_inputs = vec![false; rows.len()];
    let mut first_user = vec![usize::MAX; rows.len()];
    // Edges lead forward, and come sorted by where they start: so sort them by where they end.
    let mut edges = drawing.edges.clone();
    edges.sort_by_key(|edge| (edge.to, edge.from));
    for edge in &edges {
        rows[edge.to] = rows[edge.to].max(rows[edge.from] + 1);
        has_inputs[edge.to] = true;
    }
    for edge in &edges {
        first_user[edge.from] = first_user[edge.from].min(rows[edge.to]);
    }
    // What has no inputs stands right above what uses it first.
    for node in 0..rows.len() {
        if !has_inputs[node] && first_user[node] < usize::MAX {
            rows[node] = first_user[node].saturating_sub(1);
        }
    }
    rows
}

/// The lane of each node, dense from 0.
fn lanes(drawing: &Drawing) -> Vec<usize> {
    let mut of_stage: BTreeMap<usize, usize> = BTreeMap::new();
    let mut next = 0;
    let mut fresh = || {
        next += 1;
        next - 1
    };
    let mut lanes = Vec::with_capacity(drawing.nodes.len());
    for node in &drawing.nodes {
        lanes.push(match node.stage {
            Some(stage) => *of_stage.entry(stage).or_insert_with(&mut fresh),
            None => fresh(),
        });
    }
    lanes
}

/// The lanes from left to right.
fn order(drawing: &Drawing, lanes: &[usize], rows: &[usize], count: usize) -> Vec<usize> {
    let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); count];
    for edge in &drawing.edges {
        let (from, to) = (lanes[edge.from], lanes[edge.to]);
        if from != to {
            neighbours[from].push(to);
            neighbours[to].push(from);
        }
    }
    let mut start = vec![usize::MAX; count];
    for (node, lane) in lanes.iter().enumerate() {
        start[*lane] = start[*lane].min(rows[node]);
    }
    let mut order: Vec<usize> = (0..count).collect();
    let mut place: Vec<usize> = order.clone();
    for _ in 0..SWEEPS {
        #[expect(clippy::cast_precision_loss, reason = "lanes are few")]
        let center = |lane: usize| match neighbours[lane].len() {
            0 => place[lane] as f64,
            several => neighbours[lane].iter().map(|other| place[*other] as f64).sum::<f64>() / several as f64,
        };
        let mut centers: Vec<(f64, usize, usize)> =
            order.iter().map(|lane| (center(*lane), start[*lane], *lane)).collect();
        centers.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        order = centers.into_iter().map(|(.., lane)| lane).collect();
        for (at, lane) in order.iter().enumerate() {
            place[*lane] = at;
        }
    }
    order
}

/// The first column of each lane. Lanes in this order; one goes as far left as it fits without passing the one before it.
fn columns(order: &[usize], widths: &[usize], spans: &[(usize, usize)]) -> Vec<usize> {
    let mut starts = vec![0; order.len()];
    let mut placed: Vec<usize> = Vec::new();
    for lane in order {
        let meets = |other: &usize| {
            // A row apart, so that boxes do not touch.
            spans[*other].0 <= spans[*lane].1 + 1 && spans[*lane].0 <= spans[*other].1 + 1
        };
        let least = placed.last().map_or(0, |last| starts[*last]);
        let free = placed.iter().filter(|other| meets(other)).map(|other| starts[*other] + widths[*other]).max();
        starts[*lane] = free.unwrap_or(0).max(least);
        placed.push(*lane);
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::super::drawing::{Edge, Node};
    use super::*;

    /// Nodes by their stages, edges as pairs.
    fn drawing(stages: &[Option<usize>], edges: &[(usize, usize)]) -> Drawing {
        let nodes = stages.iter().map(|stage| Node { stage: *stage, ..Node::default() }).collect();
        let mut edges: Vec<Edge> =
            edges.iter().map(|(from, to)| Edge { from: *from, to: *to, critical: false }).collect();
        edges.sort();
        let count = stages.iter().flatten().max().map_or(0, |last| last + 1);
        Drawing { nodes, edges, stages: vec![String::new(); count], critical: None }
    }

    #[test]
    fn rows_follow_the_longest_way() {
        let chain = drawing(&[Some(0), Some(0), None, Some(0)], &[(0, 1), (1, 3), (2, 3)]);
        let layout = layout(&chain);
        assert_eq!(layout.cells.iter().map(|cell| cell.0).collect::<Vec<_>>(), [0, 1, 1, 2]);
        assert_eq!((layout.rows, layout.columns), (3, 2));
        assert_eq!(super::layout(&Drawing::default()), Layout::default());
    }

    #[test]
    fn no_two_nodes_share_a_cell_and_no_stage_a_lane() {
        let stages = [Some(0), Some(0), Some(1), Some(1), None, None, Some(2), Some(2), Some(2)];
        let edges = [(0, 1), (2, 3), (4, 1), (5, 3), (1, 6), (3, 7), (6, 7), (7, 8), (0, 8)];
        let drawing = drawing(&stages, &edges);
        let layout = layout(&drawing);
        let mut cells = layout.cells.clone();
        cells.sort_unstable();
        cells.dedup();
        assert_eq!(cells.len(), stages.len());
        for edge in &drawing.edges {
            assert!(layout.cells[edge.from].0 < layout.cells[edge.to].0, "{edge:?} leads down");
        }
        let bounds = |stage: usize| {
            let own = (0..stages.len()).filter(|node| stages[*node] == Some(stage)).map(|node| layout.cells[node]);
            own.fold((usize::MAX, 0, usize::MAX, 0), |b, (row, column)| {
                (b.0.min(row), b.1.max(row), b.2.min(column), b.3.max(column))
            })
        };
        for stage in 0..3 {
            let (top, bottom, left, right) = bounds(stage);
            for (node, (row, column)) in
                layout.cells.iter().enumerate().filter(|(node, _)| stages[*node] != Some(stage))
            {
                let inside = (top..=bottom).contains(row) && (left..=right).contains(column);
                assert!(!inside, "{node} is in the box of stage {stage}");
            }
        }
    }
}
