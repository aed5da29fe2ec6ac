/// What is said to Whisper, to find out which words it mishears: sentences without numbers or names, which have more
/// than one spelling.
enum SpokenSentences {
  static let voices = ["rms", "slt"]
  /// The faster it is said, the harder it is to understand.
  static let speeds = [1, 1.4, 1.8]

  static let texts = [
    "Please close the window before you leave the house.",
    "The old fisherman told us that a storm was coming.",
    "Can you remind me to call my sister after lunch?",
    "We walked along the river until it was dark.",
    "She has been learning to play the violin for a year.",
    "The library is open every day except on Sunday.",
    "How long does it take to boil an egg?",
    "He opened the letter, read it slowly, and put it back.",
    "My neighbor keeps chickens behind the garage.",
    "The bridge was closed because the road was covered with ice.",
    "What is the weather going to be like tomorrow morning?",
    "They planted apple trees on both sides of the path.",
    "I would like a cup of tea without sugar.",
    "The doctor said that you should rest for a week.",
    "A small white dog was sleeping under the kitchen table.",
    "Turn off the light in the living room, please.",
    "Nobody knew where the music was coming from.",
    "The teacher asked the children to draw a map of their village.",
    "It is cheaper to take the bus than to drive.",
    "Which of these books would you recommend to a beginner?",
    "The snow melted faster than anyone had expected.",
    "Our train was late, so we missed the beginning of the concert.",
    "Put the flour into a bowl and add a little salt.",
    "The lawyer spoke quietly, but everyone could hear her.",
    "I have lost my keys, and I cannot find them anywhere.",
    "In summer the lake is warm enough to swim in.",
    "Why do leaves change color in the fall?",
    "The museum has a famous collection of clocks and watches.",
    "He promised to repair the fence before the winter.",
    "Play something quiet that I can listen to while I work.",
    "The farmer sold his horse and bought a tractor.",
    "When does the next ferry leave for the island?",
    "A strange noise woke us in the middle of the night.",
    "Her grandmother taught her how to bake bread.",
    "The answer was simpler than we had thought.",
    "Let me know as soon as the package arrives.",
  ]
}
