internal import Foundation

/// Draws a timeline as SVG: who spoke when, where it was cut, and what waited in the queues.
struct TimelinePicture {
  private let timeline: Timeline
  private let scale: Double
  private let queues: [Timeline.Queue]

  private static let left = 210.0
  private static let lane = 96.0
  private static let queueLane = 30.0
  private static let top = 58.0
  /// Queues that are drawn: those in which most waited.
  private static let queueLimit = 8

  init(_ timeline: Timeline) {
    self.timeline = timeline
    // A short talk fills a screen; an hour's is not wider than viewers can show.
    scale = min(max(1_000 / max(timeline.length, 1), 40), 30_000 / max(timeline.length, 1))
    // One that waits is on its way.
    queues = timeline.queues.filter { ($0.waiting.max() ?? 0) > 1 }
      .sorted { ($0.waiting.max() ?? 0) > ($1.waiting.max() ?? 0) }.prefix(Self.queueLimit).map { $0 }
  }

  var svg: String {
    let width = Self.left + timeline.length * scale + 30
    let queueTop = Self.top + 2 * Self.lane + 34
    let height = queueTop + Double(queues.count) * Self.queueLane + 34
    var parts = [
      """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(round(width))" height="\(round(height))" \
      font-family="system-ui, sans-serif" font-size="12">
      <title>\(Self.escaped(timeline.session))</title>
      <rect width="100%" height="100%" fill="#ffffff"/>
      <text x="14" y="24" font-size="15" font-weight="600" fill="#1d2733">\(Self.escaped(timeline.session))</text>
      """
    ]
    parts += seconds(to: queueTop + Double(queues.count) * Self.queueLane)
    parts += side(0, "user", at: Self.top, color: "#2f6db5")
    parts += side(1, "assistant", at: Self.top + Self.lane, color: "#2e8b57")
    parts += timeline.questions.flatMap { question in
      box(
        question.start, question.end, at: Self.top, color: "#2f6db5",
        text: question.text.isEmpty ? "#\(question.epoch)" : question.text)
    }
    parts += timeline.answers.flatMap(answer)
    parts += timeline.commands.flatMap(command)
    for (row, queue) in queues.enumerated() { parts += depth(queue, at: queueTop + Double(row) * Self.queueLane) }
    return parts.joined(separator: "\n") + "\n</svg>\n"
  }

  private func x(_ time: Double) -> Double { round(Self.left + time * scale) }

  private func seconds(to bottom: Double) -> [String] {
    let step = [1.0, 2, 5, 10, 30, 60, 300].first { $0 * scale >= 40 } ?? 600
    return stride(from: 0, through: timeline.length, by: step).map { time in
      """
      <line x1="\(x(time))" x2="\(x(time))" y1="\(Self.top - 8)" y2="\(bottom)" stroke="#e4e8ec"/>\
      <text x="\(x(time))" y="\(Self.top - 14)" fill="#7a8793" text-anchor="middle">\(Int(time)) s</text>
      """
    }
  }

  /// A side's sound: the loudest sample of every 20 ms, above and below a line.
  private func side(_ side: Int, _ name: String, at y: Double, color: String) -> [String] {
    let middle = y + Self.lane / 2 + 6
    let peaks = timeline.peaks[side].enumerated().filter { $0.element > 0.003 }
    let path = peaks.map { index, peak in
      let half = round(min(Double(peak), 1) * (Self.lane / 2 - 14) * 10) / 10
      return "M\(x(Double(index) / 50)) \(middle - half)V\(middle + half)"
    }
    return [
      "<text x=\"14\" y=\"\(middle + 4)\" fill=\"\(color)\" font-weight=\"600\">\(name)</text>",
      "<line x1=\"\(Self.left)\" x2=\"\(x(timeline.length))\" y1=\"\(middle)\" y2=\"\(middle)\" stroke=\"#c9d1d8\"/>",
      "<path d=\"\(path.joined())\" stroke=\"\(color)\" stroke-opacity=\"0.55\" fill=\"none\"/>",
    ]
  }

  private func box(_ start: Double, _ end: Double, at y: Double, color: String, text: String) -> [String] {
    let width = max(2, x(end) - x(start))
    let room = max(3, Int(width / 6.3))
    let shown = text.count > room ? text.prefix(room - 1) + "…" : text[...]
    return [
      """
      <g><title>\(Self.escaped(text))</title><rect x="\(x(start))" y="\(y + 4)" width="\(width)" \
      height="\(Self.lane - 10)" rx="4" fill="\(color)" fill-opacity="0.08" stroke="\(color)" stroke-opacity="0.6"/>\
      <text x="\(x(start) + 5)" y="\(y + 18)" fill="#1d2733">\(Self.escaped(String(shown)))</text></g>
      """
    ]
  }

  private func answer(_ answer: Timeline.Answer) -> [String] {
    let y = Self.top + Self.lane
    guard answer.played > 0 else { return [] }
    var parts = box(answer.start, answer.end, at: y, color: "#2e8b57", text: answer.heard)
    for place in stride(from: 0, to: answer.pauses.count, by: 2) {
      let end = place + 1 < answer.pauses.count ? answer.pauses[place + 1] : answer.end
      parts.append(
        """
        <rect x="\(x(answer.pauses[place]))" y="\(y + 4)" width="\(max(1, x(end) - x(answer.pauses[place])))" \
        height="\(Self.lane - 10)" fill="#f2b705" fill-opacity="0.25"/>
        """)
    }
    if answer.outcome == .cut {
      parts.append(
        """
        <line x1="\(x(answer.end))" x2="\(x(answer.end))" y1="\(y)" y2="\(y + Self.lane)" stroke="#c0392b" \
        stroke-width="2"/><text x="\(x(answer.end) + 5)" y="\(y + Self.lane - 8)" fill="#c0392b">cut after \
        \(String(format: "%.2f", answer.played)) s</text>
        """)
    }
    return parts
  }

  private func command(_ command: Timeline.Command) -> [String] {
    [
      """
      <g><title>\(Self.escaped(command.label)), score \(String(format: "%.2f", command.score)), told at \
      \(String(format: "%.2f", command.told)) s</title><rect x="\(x(command.start))" y="\(Self.top + 4)" \
      width="\(max(2, x(command.end) - x(command.start)))" height="\(Self.lane - 10)" rx="4" fill="#c0392b" \
      fill-opacity="0.15" stroke="#c0392b"/><text x="\(x(command.start) + 3)" y="\(Self.top + Self.lane - 12)" \
      fill="#c0392b">\(Self.escaped(command.label))</text></g>
      """
    ]
  }

  /// How many messages waited in a queue, as a line of steps.
  private func depth(_ queue: Timeline.Queue, at y: Double) -> [String] {
    let most = Double(queue.waiting.max() ?? 1)
    let base = y + Self.queueLane - 4
    var path = "M\(Self.left) \(base)"
    var last = 0
    for (time, waiting) in zip(timeline.looks, queue.waiting) where waiting != last {
      path += "H\(x(time))V\(round((base - Double(waiting) / most * (Self.queueLane - 8)) * 10) / 10)"
      last = waiting
    }
    path += "H\(x(timeline.length))"
    let names = queue.edge.split(separator: " ")
    let name = names.first.map { "\($0)" + (names.count > 2 ? " → \(names[2].split(separator: ".")[0])" : "") } ?? ""
    return [
      """
      <g><title>\(Self.escaped(queue.edge)): at most \(Int(most)) waited</title>\
      <text x="14" y="\(base - 4)" fill="#7a8793" font-size="10">\(Self.escaped(String(name.prefix(34))))</text>\
      <text x="\(Self.left - 6)" y="\(base - 4)" fill="#7a8793" font-size="10" text-anchor="end">\(Int(most))</text>\
      <path d="\(path)" stroke="#8e6bbf" fill="none"/></g>
      """
    ]
  }

  private static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
      .replacing("\"", with: "&quot;")
  }
}
