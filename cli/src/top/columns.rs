//! The columns of the workers' table: their contents, their widths, and which are left out first if there is little room.

use super::model::{Row, Sort};
use crate::ctl::show::{age, bytes, count, percent, rate};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Slot,
    Pid,
    Generation,
    State,
    Age,
    Connections,
    InFlight,
    Rate,
    Cpu,
    Rss,
}

/// A narrower bar is left out.
const BAR_COLUMNS_MIN: usize = 8;

impl Column {
    const ALL: [Column; 10] = [
        Column::Slot,
        Column::Pid,
        Column::Generation,
        Column::State,
        Column::Age,
        Column::Connections,
        Column::InFlight,
        Column::Rate,
        Column::Cpu,
        Column::Rss,
    ];
    /// Left out one after another, until the others fit.
    const DISPENSABLE: [Column; 7] =
        [Column::Generation, Column::Pid, Column::Age, Column::Rss, Column::InFlight, Column::Cpu, Column::Connections];

    /// The columns that fit into this width, and what is left for a bar, if it is enough for one.
    pub fn fitting(columns: usize) -> (Vec<Column>, Option<usize>) {
        let mut fitting = Column::ALL.to_vec();
        let used = |fitting: &[Column]| fitting.iter().map(|column| column.width() + 1).sum::<usize>();
        for dispensable in Column::DISPENSABLE {
            if used(&fitting) <= columns + 1 {
                break;
            }
            fitting.retain(|&column| column != dispensable);
        }
        let left = columns.saturating_sub(used(&fitting));
        (fitting, (left >= BAR_COLUMNS_MIN).then_some(left))
    }

    pub fn title(self) -> &'static str {
        match self {
            Column::Slot => "SLOT",
            Column::Pid => "PID",
            Column::Generation => "GEN",
            Column::State => "STATE",
            Column::Age => "AGE",
            Column::Connections => "CONNS",
            Column::InFlight => "FLIGHT",
            Column::Rate => "REQ/S",
            Column::Cpu => "CPU",
            Column::Rss => "RSS",
        }
    }

    pub fn width(self) -> usize {
        match self {
            Column::Slot | Column::Cpu => 4,
            Column::Pid | Column::State => 7,
            Column::Generation => 3,
            Column::Age | Column::Connections | Column::InFlight | Column::Rate => 6,
            Column::Rss => 5,
        }
    }

    /// Whether its text is aligned to the left.
    pub fn is_word(self) -> bool {
        self == Column::State
    }

    pub fn sort(self) -> Option<Sort> {
        Some(match self {
            Column::Slot => Sort::Slot,
            Column::State => Sort::State,
            Column::Age => Sort::Age,
            Column::Connections => Sort::Connections,
            Column::InFlight => Sort::InFlight,
            Column::Rate => Sort::Rate,
            Column::Cpu => Sort::Cpu,
            Column::Rss => Sort::Rss,
            Column::Pid | Column::Generation => return None,
        })
    }

    pub fn text(self, row: &Row<'_>) -> String {
        let (worker, rates) = (row.worker, row.rates);
        let unknown = || "-".to_string();
        let has_process = worker.pid.is_some();
        match self {
            Column::Slot => worker.slot.to_string(),
            Column::Pid => worker.pid.map_or_else(unknown, |pid| pid.to_string()),
            Column::Generation => worker.generation.to_string(),
            Column::State => worker.state.to_string(),
            // For a slot that waits: the time until its start.
            Column::Age => match worker.starts_in_s {
                Some(seconds) => format!("-{}", age(seconds)),
                None if has_process => age(worker.age_s),
                None => unknown(),
            },
            _ if !has_process => unknown(),
            Column::Connections => count(worker.connections),
            Column::InFlight => count(worker.in_flight),
            Column::Rate => rates.requests_per_s.map_or_else(unknown, rate),
            Column::Cpu => rates.cpu_percent.map_or_else(unknown, percent),
            Column::Rss => bytes(worker.rss_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_shown_and_the_least_important_goes_first() {
        use Column::*;
        for (columns, expected, bar) in [
            (80, &Column::ALL[..], Some(16)),
            (63, &Column::ALL[..], None),
            (62, &[Slot, Pid, State, Age, Connections, InFlight, Rate, Cpu, Rss], None),
            (50, &[Slot, State, Connections, InFlight, Rate, Cpu, Rss], None),
            (20, &[Slot, State, Rate], None),
            (0, &[Slot, State, Rate], None),
        ] {
            assert_eq!(Column::fitting(columns), (expected.to_vec(), bar), "{columns} columns");
        }
    }
}
