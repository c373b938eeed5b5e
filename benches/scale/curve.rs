//! Curves as SVG files in `docs/curves`, both axes logarithmic. Must not know what is measured.

use comptoir_tests::source;
use plotters::prelude::*;
use std::fs;

const SIZE: (u32, u32) = (760, 420);

pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

pub(crate) struct Chart {
    /// The file's.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) across: &'static str,
    pub(crate) up: &'static str,
    pub(crate) lines: Vec<Line>,
}

/// The least and the most, with some room.
fn bounds(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (least, most) = values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    (least / 1.5).max(1e-3)..most * 1.5
}

impl Chart {
    /// Writes the file.
    pub(crate) fn draw(&self) {
        let folder = source::root().join("docs/curves");
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("{}.svg", self.name));
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let (across, up) = (bounds(points().map(|point| point.0)), bounds(points().map(|point| point.1)));
        let area = SVGBackend::new(&path, SIZE).into_drawing_area();
        area.fill(&WHITE).expect("drawn");
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(across.log_scale(), up.log_scale())
            .expect("a chart");
        chart.configure_mesh().x_desc(self.across).y_desc(self.up).draw().expect("a mesh");
        for (index, line) in self.lines.iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            let points = || line.points.iter().copied();
            chart
                .draw_series(LineSeries::new(points(), colour.stroke_width(2)))
                .expect("a line")
                .label(line.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
            chart.draw_series(points().map(|point| Circle::new(point, 3, colour.filled()))).expect("points");
        }
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw().expect("a legend");
        area.present().expect("a file");
        println!("drawn: docs/curves/{}.svg", self.name);
    }
}
