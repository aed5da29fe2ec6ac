/// The key that every file of this format begins with.
enum FormatVersion {
  static let supported = 1

  static func check(_ fields: Fields, _ log: DiagnosticLog) {
    guard let node = fields["antiphon"] else {
      let message = "the format's version is missing; write 'antiphon: \(supported)' in the first line"
      log.error(message, at: fields.location)
      return
    }
    guard case .int(let version) = node.value(log).content else {
      log.error("the format's version is an integer, not \(node.typeName)", at: node.location)
      return
    }
    if version != supported {
      log.error("version \(version) of the format is not supported; this program reads \(supported)", at: node.location)
    }
  }
}
