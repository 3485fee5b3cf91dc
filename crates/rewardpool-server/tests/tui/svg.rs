//! A picture of a terminal's screen: its text with the codes of colours, as tmux gives it, drawn as
//! SVG. Blocks and lines are drawn as shapes, because fonts leave gaps between them.
use std::fmt::Write as _;

/// Size of a character's cell.
const CELL: (f64, f64) = (8.4, 18.0);
/// Around the text.
const MARGIN: f64 = 14.0;

/// The colours of a terminal: foreground, background and the first eight of the 16.
pub(crate) struct Palette {
    foreground: &'static str,
    background: &'static str,
    colours: [&'static str; 8],
}

pub(crate) const DARK: Palette = Palette {
    foreground: "#d7dae0",
    background: "#17191e",
    colours: [
        "#2b2f38", "#f0717b", "#8fc46b", "#e2b15b", "#6aa5ee", "#c58be0", "#5fc0c8", "#d7dae0",
    ],
};

pub(crate) const LIGHT: Palette = Palette {
    foreground: "#24292f",
    background: "#ffffff",
    colours: [
        "#24292f", "#c0262d", "#2f7d32", "#946300", "#0550ae", "#8250df", "#0b7285", "#6e7781",
    ],
};

/// How a character looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Style {
    colour: Option<usize>,
    is_bold: bool,
    is_dim: bool,
    is_reversed: bool,
}

/// Characters in a row that look the same.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    column: usize,
    text: String,
    style: Style,
}

/// Draws a screen.
pub(crate) fn draw(screen: &str, palette: &Palette) -> String {
    let rows: Vec<&str> = screen.trim_end_matches('\n').lines().collect();
    let runs: Vec<Vec<Run>> = read(&rows);
    let columns = runs.iter().flatten().map(|run| run.column + run.text.chars().count()).max();
    let width = size(columns.unwrap_or(0)) * CELL.0 + 2.0 * MARGIN;
    let height = size(rows.len()) * CELL.1 + 2.0 * MARGIN;
    let Palette { foreground, background, .. } = palette;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" font-size=\"14\" fill=\"{foreground}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\">\n\
         <rect x=\".5\" y=\".5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"8\" fill=\"{background}\" \
         stroke=\"#80808080\"/>\n",
        width - 1.0,
        height - 1.0
    );
    for (row, runs) in runs.iter().enumerate() {
        for run in runs {
            draw_run(&mut svg, row, run, palette);
        }
    }
    svg + "</svg>\n"
}

/// A small number as a length.
fn size(number: usize) -> f64 {
    f64::from(u16::try_from(number).unwrap())
}

/// Reads the codes of colours. They go on over the ends of lines.
fn read(rows: &[&str]) -> Vec<Vec<Run>> {
    let mut style = Style::default();
    rows.iter().map(|row| read_row(row, &mut style)).collect()
}

fn read_row(row: &str, style: &mut Style) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let (mut column, mut rest) = (0, row);
    while let Some(character) = rest.chars().next() {
        if let Some(code) = rest.strip_prefix("\u{1b}[") {
            let (codes, after) = code.split_once('m').expect("only codes of colours");
            apply(style, codes);
            rest = after;
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.style == *style => run.text.push(character),
            _ => runs.push(Run { column, text: character.into(), style: *style }),
        }
        column += 1;
        rest = &rest[character.len_utf8()..];
    }
    runs
}

fn apply(style: &mut Style, codes: &str) {
    let mut codes = codes.split(';').map(|code| code.parse::<usize>().unwrap_or(0));
    while let Some(code) = codes.next() {
        match code {
            0 => *style = Style::default(),
            1 => style.is_bold = true,
            2 => style.is_dim = true,
            7 => style.is_reversed = true,
            22 => (style.is_bold, style.is_dim) = (false, false),
            27 => style.is_reversed = false,
            30..=37 => style.colour = Some(code - 30),
            38 => {
                assert_eq!(codes.next(), Some(5), "only the 16 colours are used");
                style.colour = codes.next().map(|colour| colour % 8);
            }
            39 => style.colour = None,
            49 => {}
            other => panic!("the screen uses the code {other}"),
        }
    }
}

fn draw_run(svg: &mut String, row: usize, run: &Run, palette: &Palette) {
    let Run { column, text, style } = run;
    let mut colour = style.colour.map_or(palette.foreground, |colour| palette.colours[colour]);
    let (x, y) = (MARGIN + size(*column) * CELL.0, MARGIN + size(row) * CELL.1);
    let columns = text.chars().count();
    let width = size(columns) * CELL.0;
    let opacity = if style.is_dim { " opacity=\".62\"" } else { "" };
    if style.is_reversed {
        writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>",
            CELL.1
        )
        .unwrap();
        colour = palette.background;
    }
    let characters: Vec<char> = text.chars().collect();
    for (place, character) in characters.iter().enumerate() {
        let x = x + size(place) * CELL.0;
        let is_after_block = place > 0 && characters[place - 1] == '█';
        if let Some(first) = eighths(*character) {
            // A bar is one shape, because seams would be seen.
            if !is_after_block {
                let bar = &characters[place..];
                let full = bar.iter().take_while(|next| **next == '█').count();
                let rest = bar.get(full).filter(|_| full > 0).and_then(|next| eighths(*next));
                let cells = if full > 0 { size(full) } else { first };
                block(svg, (x, y), cells + rest.unwrap_or(0.0), colour, opacity);
            }
        } else {
            shape(svg, *character, (x, y), colour, opacity);
        }
    }
    // What is drawn as a shape is a space in the text.
    let text: String =
        text.chars().map(|character| if is_shape(character) { ' ' } else { character }).collect();
    if text.trim().is_empty() {
        return;
    }
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let weight = if style.is_bold { " font-weight=\"bold\"" } else { "" };
    let baseline = y + 13.5;
    writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{baseline:.1}\" textLength=\"{width:.1}\" xml:space=\"preserve\" \
         fill=\"{colour}\"{weight}{opacity}>{text}</text>"
    )
    .unwrap();
}

const BLOCKS: &str = "▏▎▍▌▋▊▉█";
const LINES: &str = "─│╭╮╰╯";

fn is_shape(character: char) -> bool {
    BLOCKS.contains(character) || LINES.contains(character) || character == '·'
}

/// Draws so many cells as a block.
fn block(svg: &mut String, (x, y): (f64, f64), cells: f64, colour: &str, opacity: &str) {
    let (width, y, height) = (cells * CELL.0, y + 2.0, CELL.1 - 4.0);
    let place = format!("x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
    writeln!(svg, "<rect {place} fill=\"{colour}\"{opacity}/>").unwrap();
}

/// How much of its cell a block fills.
fn eighths(character: char) -> Option<f64> {
    let place = BLOCKS.chars().position(|block| block == character)?;
    Some(size(place + 1) / 8.0)
}

/// Draws a line or a dot of its cell.
fn shape(svg: &mut String, character: char, (x, y): (f64, f64), colour: &str, opacity: &str) {
    let (width, height) = CELL;
    let (middle, centre) = (x + width / 2.0, y + height / 2.0);
    let (right, bottom) = (x + width, y + height);
    let path = match character {
        '─' => format!("M{x:.1} {centre:.1}H{right:.1}"),
        '│' => format!("M{middle:.1} {y:.1}V{bottom:.1}"),
        '╭' => format!("M{middle:.1} {bottom:.1}Q{middle:.1} {centre:.1} {right:.1} {centre:.1}"),
        '╮' => format!("M{x:.1} {centre:.1}Q{middle:.1} {centre:.1} {middle:.1} {bottom:.1}"),
        '╰' => format!("M{middle:.1} {y:.1}Q{middle:.1} {centre:.1} {right:.1} {centre:.1}"),
        '╯' => format!("M{middle:.1} {y:.1}Q{middle:.1} {centre:.1} {x:.1} {centre:.1}"),
        '·' => {
            writeln!(
                svg,
                "<circle cx=\"{middle:.1}\" cy=\"{centre:.1}\" r=\"1\" fill=\"{colour}\"{opacity}/>"
            )
            .unwrap();
            return;
        }
        _ => return,
    };
    writeln!(svg, "<path d=\"{path}\" stroke=\"{colour}\" fill=\"none\"{opacity}/>").unwrap();
}

#[test]
fn codes_of_colours_are_read() {
    let rows = ["a\u{1b}[1;38;5;2mbc\u{1b}[0m d", "\u{1b}[2mx\u{1b}[22;7my"];
    let green = Style { colour: Some(2), is_bold: true, ..Style::default() };
    let plain = Style::default();
    let run = |column, text: &str, style| Run { column, text: text.into(), style };
    assert_eq!(
        read(&rows),
        [
            vec![run(0, "a", plain), run(1, "bc", green), run(3, " d", plain)],
            vec![
                run(0, "x", Style { is_dim: true, ..plain }),
                run(1, "y", Style { is_reversed: true, ..plain }),
            ],
        ]
    );
    let svg = draw("a < b █▌", &DARK);
    assert!(svg.contains("a &lt; b") && svg.matches("<rect").count() == 2, "{svg}");
}
