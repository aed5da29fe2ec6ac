/// Bounds on what a file may ask for. Each is far above what a graph written by hand needs, and low enough that
/// reading the most hostile file takes seconds and some tens of megabytes.
enum Limits {
  /// Bytes of one file.
  static let fileBytes = 1 << 20
  /// Lists and mappings inside one another.
  static let depth = 64
  /// Characters that can separate two values (commas, brackets, line ends ...), hence also values, of one file.
  static let separators = 1 << 16
  /// Opening braces (of which the parser nests at most 1000) times non-ASCII characters of one file. The parser hashes
  /// a mapping that stands as a key with all that is in it, at every level, and such text is slow to hash.
  static let keyWork = 1 << 25
  /// Duplicate keys that one reading of a file reports.
  static let duplicates = 8
  /// Subgraphs inside one another.
  static let subgraphDepth = 16
  /// Nodes and subgraphs of a graph after expansion.
  static let nodes = 4096
  /// Edges of a graph after expansion.
  static let edges = 16384
  /// Bytes of all parameters after expansion and substitution; a value counts as `valueVolume` beside its text.
  static let parameterVolume = 1 << 21
  static let valueVolume = 16
  /// Parts of a placement.
  static let parts = 1024
  /// Node ids and patterns of a placement.
  static let patterns = 4096
}
