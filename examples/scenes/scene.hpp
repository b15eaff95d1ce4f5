// Drawn test pictures with a known answer: one object of a known kind at a known place, over clutter.
//
// The kinds differ in shape alone: size, place, rotation, colours and texture are drawn from the same
// distributions for all of them, so a network that names the kind must have looked at the object's outline.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <salience/picture/image.hpp>

namespace scenes {

/// The names of the kinds; `Scene::kind` and the outputs of the network in examples/data are indices into it.
inline constexpr std::array<std::string_view, 8> kind_names = {"disc",  "square", "triangle", "star",
                                                               "cross", "heart",  "arrow",    "crescent"};
inline constexpr int kind_count = static_cast<int>(kind_names.size());

/// Every picture is `scene_size` pixels high and wide.
inline constexpr int scene_size = 96;

/// Seeds from here on belong to training. Smaller ones were never seen by the network in examples/data.
inline constexpr std::uint64_t first_training_seed = std::uint64_t{1} << 32;

struct Scene {
  salience::Image picture;  ///< RGB
  salience::Image mask;     ///< one channel, 255 where the object covers at least half of the pixel, else 0
  int kind = 0;             ///< index into `kind_names`
};

/// The scene that belongs to `seed`, of the given kind (0 <= kind < kind_count) or else of a kind drawn from
/// the seed.
///
/// The same arguments give the same bytes everywhere: the generator uses integers and the exactly rounded + -
/// * / and square root of IEEE doubles (to be compiled with `-ffp-contract=off`, as the CMake target does).
/// With another kind, the same seed keeps everything but the outline: background, clutter, place, area,
/// rotation and texture. The object's area is 4.5 to 10.5% of the picture. Throws salience::ArgumentError for
/// a kind out of range.
///
///     scenes::Scene scene = scenes::draw_scene(42);
///     std::cout << scenes::kind_names[scene.kind];
Scene draw_scene(std::uint64_t seed, std::optional<int> kind = {});

}  // namespace scenes
