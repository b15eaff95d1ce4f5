#include "scene.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include <salience/error.hpp>

namespace scenes {
namespace {

constexpr double pi = 3.14159265358979323846;

// ---- random numbers: the same everywhere, which the distributions of the standard library are not ----

std::uint64_t scramble(std::uint64_t x) {  // the finaliser of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

/// A value in [0, 1) for a lattice point.
double lattice(std::uint64_t seed, int x, int y) {
  const auto column = static_cast<std::uint64_t>(static_cast<std::uint32_t>(x));
  const auto row = static_cast<std::uint64_t>(static_cast<std::uint32_t>(y));
  return static_cast<double>(scramble(seed ^ scramble((row << 32) + column + 1)) >> 11) * 0x1p-53;
}

/// What a stream of random numbers is for. Each purpose has a stream of its own, so none depends on how much
/// another one consumed.
enum class Purpose : std::uint64_t { kind = 1, background, clutter, object, grain };

/// splitmix64. Never call it twice in one argument list: the order of evaluation would be the compiler's
/// choice.
class Random {
 public:
  Random(std::uint64_t seed, Purpose purpose)
      : state_(scramble(scramble(seed + 0x9e3779b97f4a7c15U) + static_cast<std::uint64_t>(purpose))) {}

  std::uint64_t bits() { return scramble(state_ += 0x9e3779b97f4a7c15U); }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  int below(int count) { return static_cast<int>(uniform() * count); }

 private:
  std::uint64_t state_;
};

// ---- vectors and colours ----

struct Vec {
  double x = 0, y = 0;
};
Vec operator+(Vec a, Vec b) { return {a.x + b.x, a.y + b.y}; }
Vec operator-(Vec a, Vec b) { return {a.x - b.x, a.y - b.y}; }
Vec operator*(double s, Vec a) { return {s * a.x, s * a.y}; }
double dot(Vec a, Vec b) { return a.x * b.x + a.y * b.y; }
double length(Vec a) { return std::sqrt(dot(a, a)); }
Vec turned(Vec a, Vec by) { return {a.x * by.x - a.y * by.y, a.x * by.y + a.y * by.x}; }

/// A unit vector in a uniform direction, without sine and cosine, which differ between C libraries.
Vec random_direction(Random& random) {
  for (;;) {
    const double x = random.uniform(-1, 1);
    const double y = random.uniform(-1, 1);
    const double r = length({x, y});
    if (r > 0.1 && r <= 1) return {x / r, y / r};
  }
}

Vec random_point(Random& random, double low, double high) {
  const double x = random.uniform(low, high);
  const double y = random.uniform(low, high);
  return {x, y};
}

struct Colour {  // 0 to 255
  double r = 0, g = 0, b = 0;
};

Colour mix(Colour a, Colour b, double t) {
  return {a.r + t * (b.r - a.r), a.g + t * (b.g - a.g), a.b + t * (b.b - a.b)};
}

double distance(Colour a, Colour b) {
  const double r = a.r - b.r;
  const double g = a.g - b.g;
  const double blue = a.b - b.b;
  return std::sqrt(r * r + g * g + blue * blue);
}

Colour random_colour(Random& random) {
  const double r = random.uniform(15, 240);
  const double g = random.uniform(15, 240);
  const double b = random.uniform(15, 240);
  return {r, g, b};
}

/// A colour at least `apart` away from all of `others`, or the farthest of 64 tries.
Colour random_colour(Random& random, std::span<const Colour> others, double apart) {
  Colour best;
  double best_gap = -1;
  for (int attempt = 0; attempt < 64 && best_gap < apart; ++attempt) {
    const Colour candidate = random_colour(random);
    double gap = 1e9;
    for (const Colour& other : others) gap = std::min(gap, distance(candidate, other));
    if (gap > best_gap) {
      best = candidate;
      best_gap = gap;
    }
  }
  return best;
}

// ---- textures ----

double clamp01(double x) { return std::clamp(x, 0.0, 1.0); }
double smooth(double t) { return t * t * (3 - 2 * t); }

/// A wave of period 1 between 0 and 1, straight from crest to crest.
double triangle_wave(double t) {
  t -= std::floor(t);
  return t < 0.5 ? 2 * t : 2 - 2 * t;
}

/// Smooth noise in [0, 1] with features of about one unit.
double value_noise(std::uint64_t seed, Vec p) {
  const double left = std::floor(p.x);
  const double top = std::floor(p.y);
  const int x = static_cast<int>(left);
  const int y = static_cast<int>(top);
  const double u = smooth(p.x - left);
  const double v = smooth(p.y - top);
  const double upper = lattice(seed, x, y) * (1 - u) + lattice(seed, x + 1, y) * u;
  const double lower = lattice(seed, x, y + 1) * (1 - u) + lattice(seed, x + 1, y + 1) * u;
  return upper * (1 - v) + lower * v;
}

enum class Texture { plain, stripes, checks, gradient, speckle };
constexpr int texture_count = 5;

/// Two colours and how they alternate over the picture.
struct Paint {
  Colour first, second;
  Texture texture = Texture::plain;
  Vec origin, axis{1, 0};
  double period = 8;
  std::uint64_t seed = 0;

  Colour at(Vec p) const { return mix(first, second, share_of_second(p - origin)); }

 private:
  double share_of_second(Vec p) const {
    const double along = dot(p, axis) / period;
    switch (texture) {
      case Texture::stripes:
        return edge(triangle_wave(along) - 0.5);
      case Texture::checks: {
        const double across = dot(p, {-axis.y, axis.x}) / period;
        const double product = (triangle_wave(along) - 0.5) * (triangle_wave(across) - 0.5);
        return clamp01(0.5 + product * period);
      }
      case Texture::gradient:
        return clamp01(0.5 + along * 0.25);
      case Texture::speckle:
        return edge(value_noise(seed, (3.5 / period) * p) - 0.62);
      case Texture::plain:
        break;
    }
    return 0;
  }
  /// Softens a step to about a pixel; `x` rises by 2 in a period.
  double edge(double x) const { return clamp01(0.5 + x * period * 0.5); }
};

Paint random_paint(Random& random, Colour first, Colour second, Vec origin) {
  Paint paint;
  paint.first = first;
  paint.second = second;
  paint.texture = static_cast<Texture>(random.below(texture_count));
  paint.origin = origin;
  paint.axis = random_direction(random);
  paint.period = random.uniform(6, 11);
  paint.seed = random.bits();
  return paint;
}

// ---- outlines ----

/// Regular star with `points` tips at distance 1 and notches at `inner`; tables hold the unit circle's
/// tenths.
constexpr std::array<Vec, 10> unit_tenths = {{{0, -1},
                                              {0.58778525229247312917, -0.80901699437494742410},
                                              {0.95105651629515357212, -0.30901699437494742410},
                                              {0.95105651629515357212, 0.30901699437494742410},
                                              {0.58778525229247312917, 0.80901699437494742410},
                                              {0, 1},
                                              {-0.58778525229247312917, 0.80901699437494742410},
                                              {-0.95105651629515357212, 0.30901699437494742410},
                                              {-0.95105651629515357212, -0.30901699437494742410},
                                              {-0.58778525229247312917, -0.80901699437494742410}}};

/// A star with five tips at distance 1 and notches at `notch`.
bool in_star(Vec p, double notch) {
  bool inside = false;  // even-odd rule over the ten edges
  for (std::size_t i = 0; i < unit_tenths.size(); ++i) {
    const std::size_t next = (i + 1) % unit_tenths.size();
    const Vec a = (i % 2 == 0 ? 1.0 : notch) * unit_tenths[i];
    const Vec b = (next % 2 == 0 ? 1.0 : notch) * unit_tenths[next];
    if ((a.y > p.y) != (b.y > p.y) && p.x < a.x + (p.y - a.y) / (b.y - a.y) * (b.x - a.x)) inside = !inside;
  }
  return inside;
}

/// An outline in its own units: `inside`, how large its area is, and a circle round the origin that holds it.
struct Outline {
  bool (*inside)(Vec p);
  double area, reach;
};

constexpr double root2 = 1.41421356237309504880;
constexpr double root3 = 1.73205080756887729353;

constexpr std::array<Outline, kind_names.size()> outlines = {{
    // disc
    {[](Vec p) { return dot(p, p) <= 1; }, pi, 1},
    // square
    {[](Vec p) { return std::abs(p.x) <= 1 && std::abs(p.y) <= 1; }, 4, 1.4143},
    // triangle, corners on the unit circle
    {[](Vec p) { return p.y <= 0.5 && root3 * std::abs(p.x) - p.y <= 1; }, 0.75 * root3, 1},
    // star
    {[](Vec p) { return in_star(p, 0.5); }, 5 * 0.5 * 0.58778525229247312917, 1},
    // cross
    {[](Vec p) {
       const double far = std::max(std::abs(p.x), std::abs(p.y));
       const double near = std::min(std::abs(p.x), std::abs(p.y));
       return far <= 1 && near <= 0.36;
     },
     4 * 0.72 - 0.72 * 0.72, 1.0629},
    // heart: two discs, and the square corner that touches both
    {[](Vec p) {
       const Vec q{std::abs(p.x) - 0.52, p.y + 0.2};
       return dot(q, q) <= 0.58 * 0.58 || (q.y >= 0 && q.y >= q.x && q.x + q.y <= root2 * 0.58);
     },
     2.7593, 1.15},
    // arrow
    {[](Vec p) {
       const double off = std::abs(p.x);
       return (p.y <= 0 && 0.9 * off - 0.85 * p.y <= 0.85 * 0.9) || (p.y > 0 && p.y <= 0.8 && off <= 0.36);
     },
     0.85 * 0.9 + 0.8 * 0.72, 0.9},
    // crescent
    {[](Vec p) {
       const Vec bite = p - Vec{0.7, 0};
       return dot(p, p) <= 1 && dot(bite, bite) >= 0.49;
     },
     2.0766, 1},
}};

/// The radius of the smallest circle that holds every kind, for an area of pi.
double common_reach() {
  double reach = 0;
  for (const Outline& outline : outlines)
    reach = std::max(reach, outline.reach * std::sqrt(pi / outline.area));
  return reach;
}

// ---- the canvas ----

class Canvas {
 public:
  Canvas() : colours_(static_cast<std::size_t>(scene_size) * scene_size) {}

  Colour& operator()(int x, int y) {
    return colours_[static_cast<std::size_t>(y) * scene_size + static_cast<std::size_t>(x)];
  }

  /// Calls `visit(x, y, centre of the pixel)` for the pixels within `reach` of the box from `low` to `high`.
  template <class Visit>
  static void for_each_pixel(Vec low, Vec high, double reach, Visit&& visit) {
    const auto first = [&](double v) { return std::max(0, static_cast<int>(std::floor(v - reach))); };
    const auto last = [&](double v) {
      return std::min(scene_size - 1, static_cast<int>(std::floor(v + reach)));
    };
    for (int y = first(low.y); y <= last(high.y); ++y) {
      for (int x = first(low.x); x <= last(high.x); ++x) visit(x, y, Vec{x + 0.5, y + 0.5});
    }
  }

  void cover(int x, int y, Colour colour, double coverage) {
    if (coverage > 0) (*this)(x, y) = mix((*this)(x, y), colour, coverage);
  }

 private:
  std::vector<Colour> colours_;
};

struct Backdrop {
  Colour first, second;
};

/// Two related colours that flow into each other, sometimes with faint stripes, and light from one side.
Backdrop paint_backdrop(Canvas& canvas, Random random) {
  Backdrop colours;
  colours.first = random_colour(random);
  colours.second = mix(colours.first, random_colour(random), 0.4);
  const std::uint64_t coarse_seed = random.bits();
  const std::uint64_t fine_seed = random.bits();
  const double coarse = random.uniform(18, 40);
  const double fine = random.uniform(4, 9);
  const double fineness = random.uniform(0.1, 0.45);
  const double steepness = random.uniform(0, 0.006);
  const Vec slope = steepness * random_direction(random);
  const Vec axis = random_direction(random);
  const double period = random.uniform(9, 24);
  const double stripes = random.below(3) == 0 ? random.uniform(0.15, 0.4) : 0;
  const Vec middle{scene_size / 2.0, scene_size / 2.0};
  Canvas::for_each_pixel({}, {scene_size, scene_size}, 0, [&](int x, int y, Vec p) {
    const double cloud = (1 - fineness) * value_noise(coarse_seed, (1 / coarse) * p) +
                         fineness * value_noise(fine_seed, (1 / fine) * p);
    const double stripe = stripes * (triangle_wave(dot(p, axis) / period) - 0.5);
    const double light = 1 + dot(p - middle, slope);
    const Colour colour = mix(colours.first, colours.second, clamp01(1.6 * (cloud - 0.5) + 0.5 + stripe));
    canvas(x, y) = mix({}, colour, light);
  });
  return colours;
}

/// A lump of three or four overlapping discs of different size along a bent line: no kind's outline.
void paint_blob(Canvas& canvas, Random& random, const Paint& paint, Vec at) {
  struct Lobe {
    Vec centre;
    double radius;
  };
  std::vector<Lobe> lobes;
  Vec heading = random_direction(random);
  const int count = 3 + random.below(2);
  Vec low = at;
  Vec high = at;
  for (int i = 0; i < count; ++i) {
    const double radius = random.uniform(1.8, 5);
    lobes.push_back({at, radius});
    low = {std::min(low.x, at.x), std::min(low.y, at.y)};
    high = {std::max(high.x, at.x), std::max(high.y, at.y)};
    at = at + (radius * random.uniform(0.9, 1.4)) * heading;
    const Vec bend = random_direction(random);
    const Vec next = heading + 0.9 * bend;
    heading = (1 / (length(next) + 1e-9)) * next;
  }
  Canvas::for_each_pixel(low, high, 6, [&](int x, int y, Vec p) {
    double depth = -1e9;
    for (const Lobe& lobe : lobes) depth = std::max(depth, lobe.radius - length(p - lobe.centre));
    canvas.cover(x, y, paint.at(p), clamp01(0.5 + depth));
  });
}

/// A straight line from `a` to `b` with round ends.
void paint_line(Canvas& canvas, Vec a, Vec b, double thickness, const Paint& paint) {
  const Vec along = b - a;
  const double squared = dot(along, along) + 1e-9;
  const Vec low{std::min(a.x, b.x), std::min(a.y, b.y)};
  const Vec high{std::max(a.x, b.x), std::max(a.y, b.y)};
  Canvas::for_each_pixel(low, high, thickness / 2 + 1, [&](int x, int y, Vec p) {
    const double t = clamp01(dot(p - a, along) / squared);
    canvas.cover(x, y, paint.at(p), clamp01(0.5 + thickness / 2 - length(p - a - t * along)));
  });
}

/// A long line with one gentle bend (a quadratic curve).
void paint_stroke(Canvas& canvas, Random& random, const Paint& paint) {
  const Vec start = random_point(random, -8, scene_size + 8);
  const Vec heading = random_direction(random);
  const double reach = random.uniform(25, 80);
  const double bend = random.uniform(-0.35, 0.35);
  const double thickness = random.uniform(1, 2.8);
  const Vec end = start + reach * heading;
  const Vec control = 0.5 * (start + end) + (bend * reach) * Vec{-heading.y, heading.x};
  constexpr int pieces = 10;
  Vec from = start;
  for (int i = 1; i <= pieces; ++i) {
    const double t = static_cast<double>(i) / pieces;
    const Vec to = (1 - t) * (1 - t) * start + 2 * t * (1 - t) * control + t * t * end;
    paint_line(canvas, from, to, thickness, paint);
    from = to;
  }
}

/// Two colours that stand out from the backdrop, and one of the textures.
Paint standing_out(Random& random, const Backdrop& backdrop, Vec origin) {
  const std::array<Colour, 2> behind = {backdrop.first, backdrop.second};
  const Colour first = random_colour(random, behind, 105);
  const Colour other = random_colour(random, behind, 85);
  return random_paint(random, first, mix(first, other, 0.75), origin);
}

void paint_clutter(Canvas& canvas, Random random, const Backdrop& backdrop) {
  const int strokes = 1 + random.below(4);
  const int blobs = 2 + random.below(3);
  const int fragments = 3 + random.below(6);
  for (int i = 0; i < strokes; ++i) paint_stroke(canvas, random, standing_out(random, backdrop, {}));
  for (int i = 0; i < blobs; ++i) {
    const Vec at = random_point(random, 0, scene_size);
    paint_blob(canvas, random, standing_out(random, backdrop, at), at);
  }
  for (int i = 0; i < fragments; ++i) {
    const Vec from = random_point(random, 0, scene_size);
    const double reach = random.uniform(5, 14);
    const Vec to = from + reach * random_direction(random);
    const double thickness = random.uniform(0.9, 2.4);
    paint_line(canvas, from, to, thickness, standing_out(random, backdrop, from));
  }
}

/// Draws the object on top of everything, and its mask.
void paint_object(Canvas& canvas, Random random, const Backdrop& backdrop, const Outline& outline,
                  salience::Image& mask) {
  static const double largest = common_reach();
  const double share = random.uniform(0.045, 0.105);
  const double radius = scene_size * std::sqrt(share / pi);  // of the disc of that area
  const double margin = radius * largest + 1;  // the same for every kind: the place tells nothing
  const Vec centre = random_point(random, margin, scene_size - margin);
  const Vec rotation = random_direction(random);
  const Paint paint = standing_out(random, backdrop, centre);
  const double unit = radius * std::sqrt(pi / outline.area);
  const Vec back{rotation.x / unit, -rotation.y / unit};

  constexpr int grid = 4;  // samples per pixel and side
  Canvas::for_each_pixel(centre, centre, unit * outline.reach + 1, [&](int x, int y, Vec p) {
    int hits = 0;
    for (int j = 0; j < grid; ++j) {
      for (int i = 0; i < grid; ++i) {
        const Vec sample{x + (i + 0.5) / grid, y + (j + 0.5) / grid};
        hits += outline.inside(turned(sample - centre, back)) ? 1 : 0;
      }
    }
    canvas.cover(x, y, paint.at(p), static_cast<double>(hits) / (grid * grid));
    if (2 * hits >= grid * grid) mask(y, x, 0) = 255;
  });
}

std::uint8_t to_byte(double value) { return static_cast<std::uint8_t>(std::clamp(value + 0.5, 0.0, 255.0)); }

}  // namespace

Scene draw_scene(std::uint64_t seed, std::optional<int> kind) {
  const int drawn = Random(seed, Purpose::kind).below(kind_count);
  const int chosen = kind.value_or(drawn);
  if (chosen < 0 || chosen >= kind_count) {
    throw salience::ArgumentError(
        salience::detail::concat("a scene's kind is from 0 to ", kind_count - 1, ", got ", chosen));
  }
  Scene scene{salience::Image(scene_size, scene_size, 3), salience::Image(scene_size, scene_size, 1), chosen};

  Canvas canvas;
  const Backdrop backdrop = paint_backdrop(canvas, Random(seed, Purpose::background));
  paint_clutter(canvas, Random(seed, Purpose::clutter), backdrop);
  paint_object(canvas, Random(seed, Purpose::object), backdrop, outlines[static_cast<std::size_t>(chosen)],
               scene.mask);

  const std::uint64_t grain = Random(seed, Purpose::grain).bits();
  Canvas::for_each_pixel({}, {scene_size, scene_size}, 0, [&](int x, int y, Vec) {
    const Colour colour = canvas(x, y);
    const double noise = 14 * (lattice(grain, x, y) - 0.5);
    scene.picture(y, x, 0) = to_byte(colour.r + noise);
    scene.picture(y, x, 1) = to_byte(colour.g + noise);
    scene.picture(y, x, 2) = to_byte(colour.b + noise);
  });
  return scene;
}

}  // namespace scenes
