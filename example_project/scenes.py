"""Draw synthetic road scenes with pedestrians, seen by a pinhole camera, frame by frame.

A scene is a small world: billboards (buildings, trees, cars, poles, bushes, pedestrians) that stand on a flat ground at
a lateral position x and a depth z in metres. The camera drives towards them. Everything follows from one random
generator, so a seed names a scene. Depth, box height and occlusion agree by construction: a pedestrian is 1.75 m tall,
its box is ``focal * 1.75 / depth`` pixels high, and its occlusion is the share of its pixels that something nearer (or
the image border) hides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

WIDTH, HEIGHT = 192, 144
OVERSAMPLING = 2
PEDESTRIAN_HEIGHT_M = 1.75
FRAME_INTERVAL_S = 0.5
NEAREST_M, FARTHEST_M = 8.9, 41.0
WEATHERS = ("clear", "rain", "fog", "snow")
LIGHTINGS = ("day", "dusk", "night")
REGIONS = ("urban_dense", "suburban", "rural")


@dataclass(frozen=True)
class Camera:
    """Pinhole camera above a flat ground; lengths in pixels of the final image, the height in metres."""

    focal: float
    height_m: float
    horizon: float
    centre: float

    def ground_row(self, depth: float) -> float:
        """Return the image row where the ground at this depth is seen."""
        return self.horizon + self.focal * self.height_m / depth


@dataclass(frozen=True)
class Look:
    """What light and weather do to a scene."""

    weather: str
    lighting: str
    sky: np.ndarray
    haze: np.ndarray
    visibility_m: float
    desert: bool = False


@dataclass
class Billboard:
    """A flat object facing the camera; metres, metres per second."""

    kind: str
    x: float
    z: float
    height_m: float
    seed: int
    x_speed: float = 0.0
    z_speed: float = 0.0


@dataclass
class World:
    """A scene before it is seen: camera, look, everything that stands in it, and the own speed."""

    camera: Camera
    look: Look
    region: str
    billboards: list[Billboard]
    ego_speed: float
    yaw_per_frame: float
    road_half_width: float
    ground_seed: int


@dataclass(frozen=True)
class Pedestrian:
    """Ground truth of one pedestrian in one frame; the box is xyxy in pixels and lies inside the image."""

    box: tuple[float, float, float, float]
    distance_m: float
    occlusion: float
    clothing: str


@dataclass
class Frame:
    """One RGB image (144, 192, 3), uint8, with its pedestrians."""

    image: np.ndarray
    pedestrians: list[Pedestrian] = field(default_factory=list)


# Sprites: each returns colour (h, w, 3) and coverage (h, w), both uint8, cropped to what is covered.

Sprite = tuple[np.ndarray, np.ndarray]
_LINE = cv2.LINE_AA


class _Pad:
    """A drawing pad that keeps colour and coverage in step."""

    def __init__(self, height: int, width: int) -> None:
        self.colour = np.zeros((height, width, 3), np.uint8)
        self.cover = np.zeros((height, width), np.uint8)

    def polygon(self, points: list[tuple[float, float]], colour: np.ndarray) -> None:
        corners = np.round(np.asarray(points, float)).astype(np.int32)
        cv2.fillPoly(self.colour, [corners], tuple(map(float, colour)))
        cv2.fillPoly(self.cover, [corners], 255.0)

    def ellipse(self, centre: tuple[float, float], axes: tuple[float, float], colour: np.ndarray) -> None:
        middle, radii = (round(centre[0]), round(centre[1])), (round(axes[0]), round(axes[1]))
        cv2.ellipse(self.colour, middle, radii, 0, 0, 360, tuple(map(float, colour)), -1)
        cv2.ellipse(self.cover, middle, radii, 0, 0, 360, 255.0, -1)

    def limb(self, points: list[tuple[float, float]], thickness: int, colour: np.ndarray) -> None:
        corners = np.round(np.asarray(points, float)).astype(np.int32)
        cv2.polylines(self.colour, [corners], False, tuple(map(float, colour)), thickness)  # noqa: FBT003
        cv2.polylines(self.cover, [corners], False, 255.0, thickness)  # noqa: FBT003

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: np.ndarray) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def cut(self) -> Sprite:
        """Return colour and coverage without empty margins."""
        rows, columns = np.flatnonzero(self.cover.any(axis=1)), np.flatnonzero(self.cover.any(axis=0))
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return self.colour[window], self.cover[window]


def _colour(rng: np.random.Generator, low: float, high: float, spread: float) -> np.ndarray:
    return np.clip(rng.uniform(low, high) + rng.uniform(-spread, spread, 3), 4, 250)


CLOTHING = ("plain", "dark", "reflective")


def clothing_of(seed: int) -> str:
    """Return what the pedestrian with this seed wears: plain 75 %, dark 15 %, reflective 10 %."""
    return CLOTHING[int(np.searchsorted([0.75, 0.9], np.random.default_rng([seed, 7]).uniform()))]


def _clothes(rng: np.random.Generator, clothing: str) -> tuple[np.ndarray, np.ndarray]:
    if clothing == "dark":
        return _colour(rng, 25, 55, 8), _colour(rng, 20, 50, 8)
    if clothing == "reflective":
        return np.array([225, rng.uniform(150, 240), 40.0]), _colour(rng, 30, 90, 20)
    return _colour(rng, 50, 225, 75), _colour(rng, 25, 140, 45)


def pedestrian_sprite(seed: int, phase: float) -> Sprite:
    """Draw a walking person of this seed at this phase of the gait in radians."""
    rng = np.random.default_rng([seed, 1])
    clothing = clothing_of(seed)
    top, trousers = _clothes(rng, clothing)
    skin = np.array([224, 172, 138]) * rng.uniform(0.4, 1.05)
    hair = _colour(rng, 20, 120, 20)
    shoulder, stride = rng.uniform(19, 26), rng.uniform(10, 34)
    swing, middle = stride * math.sin(phase), 90.0
    pad = _Pad(230, 180)
    arm = int(rng.integers(9, 13))
    pad.limb(
        [(middle - shoulder, 52), (middle - shoulder - 4 - swing * 0.5, 84), (middle - shoulder - swing * 0.7, 116)],
        arm,
        top * 0.8,
    )
    for side, shift in ((-8, -swing), (8, swing)):
        knee, foot = (middle + side + shift * 0.55, 165), (middle + side + shift, 214)
        pad.limb([(middle + side, 112), knee, foot], int(rng.integers(15, 20)), trousers * (1 if side > 0 else 0.8))
        pad.ellipse((foot[0] + 4, 216), (11, 6), np.array([30, 28, 28]))
    hip = shoulder * rng.uniform(0.7, 0.95)
    hem = rng.uniform(112, 124) if rng.uniform() < 0.7 else rng.uniform(130, 160)
    pad.polygon(
        [
            (middle - shoulder, 46),
            (middle - 8, 38),
            (middle + 8, 38),
            (middle + shoulder, 46),
            (middle + hip, hem),
            (middle - hip, hem),
        ],
        top,
    )
    pad.limb(
        [
            (middle + shoulder - 2, 52),
            (middle + shoulder + 3 + swing * 0.5, 84),
            (middle + shoulder + swing * 0.7, 116),
        ],
        arm,
        top * 0.9,
    )
    pad.ellipse((middle, 22), (12, 16), skin)
    pad.ellipse((middle - 1, 14), (12, 10), hair)
    if clothing == "reflective":
        pad.rectangle(middle - shoulder + 4, 78, middle + shoulder - 4, 87, np.array([250, 250, 235]))
    elif rng.uniform() < 0.25:
        bag = middle + shoulder * rng.choice([-1, 1])
        pad.rectangle(bag - 10, 56, bag + 10, 104, _colour(rng, 30, 160, 50))
    return pad.cut()


def _pole(rng: np.random.Generator) -> Sprite:
    pad, grey, half = _Pad(220, 120), _colour(rng, 50, 150, 12), rng.uniform(2.5, 6)
    pad.rectangle(60 - half, 12, 60 + half, 216, grey)
    if rng.uniform() < 0.6:
        radius, face = rng.uniform(10, 22), _colour(rng, 60, 220, 80)
        if rng.uniform() < 0.5:
            pad.ellipse((60, 24), (radius, radius), face)
            pad.ellipse((60, 24), (radius * 0.65, radius * 0.65), np.array([225, 225, 220]))
        else:
            pad.rectangle(60 - radius, 6, 60 + radius, 40, face)
    return pad.cut()


def _bollard(rng: np.random.Generator) -> Sprite:
    pad, paint, half = _Pad(220, 160), _colour(rng, 40, 210, 60), rng.uniform(20, 50)
    pad.rectangle(80 - half, 14, 80 + half, 214, paint)
    pad.rectangle(80 - half * 1.1, 6, 80 + half * 1.1, 26, paint * 0.7)
    if rng.uniform() < 0.6:
        pad.rectangle(80 - half * 0.7, 60, 80 + half * 0.7, rng.uniform(90, 150), paint * 0.5 + 100)
    return pad.cut()


def _car(rng: np.random.Generator) -> Sprite:
    pad, paint, glass = _Pad(150, 300), _colour(rng, 30, 220, 60), _colour(rng, 40, 90, 15)
    if rng.uniform() < 0.5:
        pad.polygon([(10, 70), (70, 62), (105, 14), (205, 14), (245, 64), (290, 74), (292, 118), (8, 118)], paint)
        pad.polygon([(82, 60), (110, 22), (150, 22), (150, 60)], glass)
        pad.polygon([(158, 60), (158, 22), (200, 22), (228, 60)], glass)
        wheels = (65, 235)
    else:
        pad.polygon([(60, 62), (88, 12), (212, 12), (240, 62), (248, 122), (52, 122)], paint)
        pad.polygon([(78, 60), (98, 22), (202, 22), (222, 60)], glass)
        pad.rectangle(62, 78, 92, 92, np.array([200, 40, 35]))
        pad.rectangle(208, 78, 238, 92, np.array([200, 40, 35]))
        wheels = (78, 222)
    for wheel in wheels:
        pad.ellipse((wheel, 118), (24, 24), np.array([22, 22, 24]))
    return pad.cut()


def _bush(rng: np.random.Generator) -> Sprite:
    pad, leaf = _Pad(160, 260), np.array([rng.uniform(30, 90), rng.uniform(60, 120), rng.uniform(20, 60)])
    for _ in range(14):
        shade = leaf * rng.uniform(0.6, 1.3)
        pad.ellipse((rng.uniform(40, 220), rng.uniform(50, 120)), (rng.uniform(20, 38), rng.uniform(20, 36)), shade)
    pad.rectangle(50, 110, 210, 154, leaf * 0.7)
    return pad.cut()


def _tree(rng: np.random.Generator) -> Sprite:
    pad, bark = _Pad(320, 240), np.array([95, 75, 58]) * rng.uniform(0.5, 1.2)
    leaf = np.array([rng.uniform(30, 110), rng.uniform(60, 125), rng.uniform(20, 65)])
    half = rng.uniform(5, 13)
    pad.polygon([(120 - half * 0.6, 120), (120 + half * 0.6, 120), (120 + half, 316), (120 - half, 316)], bark)
    for _ in range(16):
        centre = (120 + rng.normal(0, 38), rng.uniform(40, 150))
        pad.ellipse(centre, (rng.uniform(18, 40), rng.uniform(16, 34)), leaf * rng.uniform(0.6, 1.3))
    return pad.cut()


def _building(rng: np.random.Generator) -> Sprite:
    width = int(rng.integers(140, 420))
    pad, wall = _Pad(220, width), _colour(rng, 60, 200, 30)
    pad.rectangle(0, 20, width - 1, 219, wall)
    if rng.uniform() < 0.4:
        pad.polygon([(0, 22), (width / 2, 0), (width - 1, 22)], _colour(rng, 60, 130, 40))
    columns, rows = int(rng.integers(3, 8)), int(rng.integers(2, 6))
    step_x, step_y, glass = width / columns, 170 / rows, _colour(rng, 30, 110, 15)
    for row in range(rows):
        for column in range(columns):
            left, top = (column + 0.25) * step_x, 34 + (row + 0.1) * step_y
            pad.rectangle(left, top, left + step_x * 0.5, top + step_y * 0.55, glass * rng.uniform(0.7, 1.4))
    return pad.cut()


def _rock(rng: np.random.Generator) -> Sprite:
    pad, stone = _Pad(160, 240), np.array([170, 130, 90]) * rng.uniform(0.5, 1.1)
    corners = [
        (rng.uniform(10, 60), 154),
        (rng.uniform(30, 90), rng.uniform(30, 90)),
        (rng.uniform(110, 150), rng.uniform(8, 50)),
    ]
    pad.polygon([*corners, (rng.uniform(170, 210), rng.uniform(50, 110)), (rng.uniform(200, 230), 154)], stone)
    return pad.cut()


def _cactus(rng: np.random.Generator) -> Sprite:
    pad, skin = _Pad(240, 160), np.array([70, 105, 60]) * rng.uniform(0.7, 1.2)
    pad.limb([(80, 20), (80, 236)], 26, skin)
    pad.limb([(80, 130), (30, 120), (30, rng.uniform(50, 90))], 18, skin * 0.9)
    pad.limb([(80, 150), (130, 140), (130, rng.uniform(60, 110))], 18, skin * 1.1)
    return pad.cut()


_SPRITES = {
    "pole": _pole,
    "bollard": _bollard,
    "car": _car,
    "bush": _bush,
    "tree": _tree,
    "building": _building,
    "rock": _rock,
    "cactus": _cactus,
}


def _sprite(billboard: Billboard, time_s: float) -> Sprite:
    if billboard.kind == "pedestrian":
        return pedestrian_sprite(billboard.seed, billboard.seed % 628 / 100 + 4.5 * time_s)
    return _SPRITES[billboard.kind](np.random.default_rng([billboard.seed, 2]))


# The world.


def _look(rng: np.random.Generator, weather: str, lighting: str) -> Look:
    sky = {"day": np.array([150, 185, 225.0]), "dusk": np.array([190, 140, 130.0]), "night": np.array([22, 26, 44.0])}[
        lighting
    ]
    if weather != "clear":
        sky = 0.35 * sky + 0.65 * sky.mean() * np.array([0.98, 1.0, 1.03])
    sky = np.clip(sky * rng.uniform(0.85, 1.1), 0, 245)
    visibility = {"clear": 400.0, "rain": 150.0, "snow": 110.0, "fog": rng.uniform(38, 65)}[weather]
    haze = sky * 0.95 if lighting != "night" else np.array([52, 54, 60.0])
    return Look(weather, lighting, sky, haze, visibility)


def _desert_look(rng: np.random.Generator, lighting: str) -> Look:
    sky = np.array([222, 178, 122.0]) * rng.uniform(0.75, 1.0) * {"day": 1.0, "dusk": 0.7, "night": 0.35}[lighting]
    return Look("sandstorm", lighting, sky, sky * 0.95, rng.uniform(14, 30), desert=True)


def _scenery(rng: np.random.Generator, region: str, half_width: float) -> list[Billboard]:
    counts = {"urban_dense": (5, 2, 5, 4, 2), "suburban": (3, 4, 4, 3, 4), "rural": (1, 6, 2, 1, 5)}[region]
    ranges = {
        "building": (35, 75, 5.0, 16.0),
        "tree": (14, 55, 4.5, 9.0),
        "pole": (10, 48, 1.8, 3.4),
        "bollard": (10, 42, 0.9, 1.8),
        "bush": (12, 45, 0.8, 1.8),
    }
    scenery = []
    for (kind, (near, far, low, high)), mean in zip(ranges.items(), counts, strict=True):
        for _ in range(rng.poisson(mean)):
            depth = rng.uniform(near, far)
            lateral = rng.choice([-1, 1]) * (half_width + rng.uniform(0.4, 0.24 * depth + 2.0))
            if kind == "building":
                lateral = rng.choice([-1, 1]) * rng.uniform(4, 22)
            scenery.append(Billboard(kind, lateral, depth, rng.uniform(low, high), _seed(rng)))
    for _ in range(rng.poisson({"urban_dense": 1.6, "suburban": 1.0, "rural": 0.6}[region])):
        depth = rng.uniform(12, 48)
        lateral = rng.choice([-1, 1]) * rng.uniform(1.2, half_width + 1.5)
        scenery.append(Billboard("car", lateral, depth, rng.uniform(1.4, 1.8), _seed(rng), z_speed=rng.uniform(-2, 6)))
    return scenery


def _desert_scenery(rng: np.random.Generator) -> list[Billboard]:
    kinds = rng.choice(["rock", "cactus", "bush"], rng.integers(4, 12), p=[0.45, 0.4, 0.15])
    return [
        Billboard(str(kind), rng.uniform(-14, 14), rng.uniform(9, 40), rng.uniform(0.7, 3.0), _seed(rng))
        for kind in kinds
    ]


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 31))


def _walkers(
    rng: np.random.Generator, camera: Camera, approach_m: float, farthest_m: float, count: int
) -> list[Billboard]:
    """Place pedestrians so that their boxes hardly overlap in the first and in the last frame."""
    walkers: list[Billboard] = []
    for _ in range(count * 12):
        if len(walkers) == count:
            break
        # Uniform in pixel height would hide far pedestrians, uniform in depth would crowd the smallest: between both.
        near = NEAREST_M + approach_m
        depth = near * (farthest_m / near) ** rng.uniform()
        lateral = (rng.uniform(10, WIDTH - 10) - camera.centre) * depth / camera.focal
        speed = rng.choice([-1, 1]) * rng.uniform(0.2, 1.6)
        walker = Billboard("pedestrian", lateral, depth, PEDESTRIAN_HEIGHT_M, _seed(rng), speed, rng.uniform(-0.4, 0.4))
        if all(_stay_apart(camera, walker, other, approach_m) for other in walkers):
            walkers.append(walker)
    return walkers


def _stay_apart(camera: Camera, one: Billboard, other: Billboard, approach_m: float) -> bool:
    for advance, time_s in ((0.0, 0.0), (approach_m, 2 * FRAME_INTERVAL_S)):
        columns = [camera.focal * (b.x + b.x_speed * time_s) / (b.z - advance) for b in (one, other)]
        reach = 0.21 * camera.focal * PEDESTRIAN_HEIGHT_M * (1 / (one.z - advance) + 1 / (other.z - advance))
        if abs(columns[0] - columns[1]) < 0.8 * reach:
            return False
    return True


def _occluders(rng: np.random.Generator, walkers: list[Billboard], kinds: tuple[str, ...]) -> list[Billboard]:
    """Put something nearer in front of about one pedestrian in four, shifted so that mostly a part stays visible."""
    hiding = []
    for walker in walkers:
        if rng.uniform() > 0.26 or walker.z < 13:
            continue
        kind = str(rng.choice(kinds))
        height = {
            "car": 1.45,
            "bush": rng.uniform(0.7, 1.2),
            "tree": 6.0,
            "pole": 2.8,
            "bollard": rng.uniform(0.7, 1.1),
        }.get(kind, 1.0)
        depth = walker.z * rng.uniform(0.82, 0.94)
        reach = {"car": 1.9, "bush": 0.9, "tree": 0.3, "pole": 0.15, "bollard": 0.4}.get(kind, 0.9)
        shift = rng.choice([-1, 1]) * reach * rng.uniform(0.6, 1.25)
        hiding.append(Billboard(kind, walker.x * depth / walker.z + shift, depth, height, _seed(rng)))
    return hiding


def plan_world(
    rng: np.random.Generator,
    weather: str,
    lighting: str,
    region: str,
    *,
    pedestrians: int,
    frames: int,
) -> World:
    """Plan a world of the operational design domain, to be seen for some frames: front camera of a car on a road."""
    camera = Camera(400.0, 1.4, rng.uniform(54, 66), WIDTH / 2 + rng.uniform(-14, 14))
    speed, half_width = rng.uniform(1.5, 6.5), rng.uniform(2.8, 4.6)
    walkers = _walkers(rng, camera, speed * (frames - 1) * FRAME_INTERVAL_S, FARTHEST_M, pedestrians)
    hiding = _occluders(rng, walkers, ("car", "bush", "tree", "pole", "bollard"))
    yaw = rng.choice([-1, 1]) * rng.uniform(4, 13)
    scenery = _scenery(rng, region, half_width)
    look = _look(rng, weather, lighting)
    return World(camera, look, region, [*scenery, *hiding, *walkers], speed, yaw, half_width, _seed(rng))


def plan_foreign_world(rng: np.random.Generator, lighting: str, *, pedestrians: int) -> World:
    """Plan a world outside the operational design domain: a mast camera looking down on a desert in a sandstorm."""
    camera = Camera(250.0, 5.0, rng.uniform(-4, 14), WIDTH / 2 + rng.uniform(-20, 20))
    walkers = _walkers(rng, camera, 1.0, 26.0, pedestrians)
    scenery = [*_desert_scenery(rng), *_occluders(rng, walkers, ("rock", "cactus"))]
    look = _desert_look(rng, lighting)
    yaw = rng.choice([-1, 1]) * rng.uniform(10, 20)
    return World(camera, look, "desert", [*scenery, *walkers], 1.0, yaw, 0.0, _seed(rng))


# Rendering.


def _illumination(look: Look, lateral_m: np.ndarray | float, depth_m: np.ndarray | float) -> np.ndarray | float:
    """Return the light on something: daylight, or street light plus the own headlamps at night."""
    if look.desert or look.lighting == "day":
        return 1.0
    if look.lighting == "dusk":
        return 0.72
    beam = np.exp(-((np.asarray(lateral_m) / (2.5 + 0.16 * np.asarray(depth_m))) ** 2))
    return 0.40 + 0.55 * beam * np.minimum(1.0, 20.0 / np.asarray(depth_m))


def _blotches(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Return smooth noise of unit variance."""
    return cv2.resize(rng.normal(size=cells).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)


def _backdrop(world: World, camera: Camera, advance_m: float) -> np.ndarray:
    """Paint sky and ground (float32 RGB, oversampled)."""
    height, width = HEIGHT * OVERSAMPLING, WIDTH * OVERSAMPLING
    rng = np.random.default_rng([world.ground_seed, 3])
    rows = (np.arange(height)[:, None] + 0.5) / OVERSAMPLING
    columns = (np.arange(width)[None, :] + 0.5) / OVERSAMPLING
    depth = camera.focal * camera.height_m / np.maximum(rows - camera.horizon, 0.35)
    lateral = (columns - camera.centre) * depth / camera.focal
    ground = _ground(world, rng, lateral, depth + advance_m)
    ground *= np.broadcast_to(_illumination(world.look, lateral, depth), ground.shape[:2])[..., None]
    clear = np.exp(-depth / world.look.visibility_m)[..., None]
    ground = ground * clear + world.look.haze * (1 - clear)
    cloud = _blotches(rng, (height, 3 * width), (int(rng.integers(3, 7)), int(rng.integers(8, 22))))
    shift = int(width + (camera.centre - WIDTH / 2) * OVERSAMPLING)
    cloud = np.roll(cloud, shift, axis=1)[:, width : 2 * width]
    strength = rng.uniform(5, 20) * (0.4 if world.look.lighting == "night" else 1.0)
    sky = world.look.sky * (1.08 - 0.16 * (1 - rows / HEIGHT)[..., None]) + strength * cloud[..., None]
    return np.where((rows < camera.horizon)[..., None], sky, ground).astype(np.float32)


def _ground(world: World, rng: np.random.Generator, lateral: np.ndarray, along: np.ndarray) -> np.ndarray:
    snow, desert = world.look.weather == "snow", world.look.desert
    verge = (
        np.array([205, 165, 110.0])
        if desert
        else np.array([rng.uniform(70, 150), rng.uniform(85, 140), rng.uniform(50, 110)])
    )
    asphalt = _colour(rng, 60, 125, 6) * (0.75 if world.look.weather == "rain" else 1.0)
    if snow:
        verge, asphalt = np.array([205, 210, 218.0]), 0.6 * asphalt + 0.4 * np.array([190, 195, 200.0])
    half = world.road_half_width
    on_road = (np.abs(lateral) < half)[..., None]
    paint = (np.abs(np.abs(lateral) - half * 0.93) < 0.09) | ((np.abs(lateral) < 0.08) & (along % 9.0 < 4.0))
    ground = np.where(on_road, asphalt, verge)
    if not desert:
        ground = np.where((on_road[..., 0] & paint)[..., None], np.array([200, 200, 190.0]), ground)
    patches = _blotches(rng, (96, 96), (20, 20))
    texture = patches[(along * 2.0).astype(int) % 96, ((lateral + 200) * 2.0).astype(int) % 96]
    shade = _blotches(rng, lateral.shape, (int(rng.integers(3, 6)), int(rng.integers(3, 7))))
    return ground * (1 + 0.05 * texture + 0.09 * shade)[..., None]


def _paste(
    canvas: np.ndarray,
    owner: np.ndarray,
    index: int,
    sprite: Sprite,
    *,
    place: tuple[float, float, float],
    look: Look,
    lateral: float,
    depth: float,
) -> int:
    """Paste a sprite whose bottom centre and height are given in final pixels; return how many pixels it covers."""
    centre, bottom, tall = (value * OVERSAMPLING for value in place)
    colour, cover = sprite
    height = max(2, round(tall))
    width = max(1, round(tall * cover.shape[1] / cover.shape[0]))
    if width > 4 * canvas.shape[1]:
        return 0
    shrink = cv2.INTER_AREA if height < cover.shape[0] else cv2.INTER_LINEAR
    colour = cv2.resize(colour, (width, height), interpolation=shrink).astype(np.float32)
    alpha = cv2.resize(cover, (width, height), interpolation=shrink).astype(np.float32) / 255
    clear = math.exp(-depth / look.visibility_m)
    colour = colour * float(_illumination(look, lateral, depth)) * clear + look.haze.astype(np.float32) * (1 - clear)
    left, top = round(centre - width / 2), round(bottom) - height
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + width, canvas.shape[1]), min(top + height, canvas.shape[0])
    if x0 < x1 and y0 < y1:
        part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        window = np.s_[y0:y1, x0:x1]
        canvas[window] += alpha[part][..., None] * (colour[part] - canvas[window])
        owner[window][alpha[part] > 0.5] = index
    return int((alpha > 0.5).sum())


def _shadow(canvas: np.ndarray, place: tuple[float, float, float], look: Look) -> None:
    """Darken the ground under something that stands on it."""
    centre, bottom, tall = (value * OVERSAMPLING for value in place)
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.ellipse(
        mask,
        (round(centre), round(bottom)),
        (max(1, round(tall * 0.2)), max(1, round(tall * 0.03))),
        0,
        0,
        360,
        255.0,
        -1,
    )
    weight = 0.35 if look.lighting == "day" else 0.2
    canvas *= (1 - weight * (mask > 0))[..., None].astype(np.float32)


def _precipitation(image: np.ndarray, look: Look, rng: np.random.Generator) -> np.ndarray:
    brightness = 150.0 if look.lighting == "night" else 225.0
    layer = np.zeros(image.shape[:2], np.uint8)
    if look.weather == "rain":
        slant = rng.uniform(-2.5, 2.5)
        for _ in range(int(rng.integers(35, 70))):
            x, y, length = rng.uniform(-5, WIDTH + 5), rng.uniform(-5, HEIGHT), rng.uniform(4, 9)
            cv2.line(layer, (round(x), round(y)), (round(x + slant), round(y + length)), 90.0, 1, _LINE)
    elif look.weather == "snow":
        for _ in range(int(rng.integers(50, 100))):
            cv2.circle(
                layer,
                (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))),
                int(rng.uniform() < 0.12),
                170.0,
                -1,
                _LINE,
            )
    weight = layer[..., None].astype(np.float32) / 255 * 0.75
    return image * (1 - weight) + brightness * weight


def _sense(image: np.ndarray, look: Look, rng: np.random.Generator, tint: np.ndarray) -> np.ndarray:
    """Apply lens blur, colour of the camera and sensor noise; return uint8."""
    warmth = {"day": (1.0, 1.0, 1.0), "dusk": (1.06, 0.98, 0.9), "night": (0.95, 0.98, 1.06)}[look.lighting]
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.5)) * tint * np.array(warmth)
    noise = cv2.GaussianBlur(rng.normal(0, 1, image.shape), (0, 0), 0.6) * (3.0 if look.lighting == "night" else 2.4)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def render_frame(world: World, frame: int, rng: np.random.Generator, tint: np.ndarray) -> Frame:
    """Render one frame of a world and list the pedestrians that are at least partly inside the image.

    Parameters
    ----------
    world : World
        What to look at.
    frame : int
        Number of the frame; frames are 0.5 s apart.
    rng : numpy.random.Generator
        Source of rain, snow and sensor noise.
    tint : numpy.ndarray
        Gain of the camera per colour, (3,).

    """
    time_s = frame * FRAME_INTERVAL_S
    advance = world.ego_speed * time_s
    base = world.camera
    camera = Camera(base.focal, base.height_m, base.horizon, base.centre + frame * world.yaw_per_frame)
    canvas = _backdrop(world, camera, advance)
    owner = np.full(canvas.shape[:2], -1, np.int32)
    seen = []
    moved = [(b.z + b.z_speed * time_s - advance, b.x + b.x_speed * time_s, b) for b in world.billboards]
    for index, (depth, lateral, billboard) in enumerate(sorted(moved, key=lambda item: -item[0])):
        is_pedestrian = billboard.kind == "pedestrian"
        if depth < (NEAREST_M - 0.5 if is_pedestrian else 7.0):
            continue
        sprite = _sprite(billboard, time_s)
        place = (
            camera.centre + camera.focal * lateral / depth,
            camera.ground_row(depth),
            camera.focal * billboard.height_m / depth,
        )
        if billboard.kind != "building":
            _shadow(canvas, place, world.look)
        covered = _paste(canvas, owner, index, sprite, place=place, look=world.look, lateral=lateral, depth=depth)
        if is_pedestrian:
            aspect = sprite[1].shape[1] / sprite[1].shape[0]
            seen.append((index, covered, {"place": place, "aspect": aspect, "depth": depth, "seed": billboard.seed}))
    image = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    image = _sense(_precipitation(image, world.look, rng), world.look, rng, tint)
    found = [_ground_truth(owner, index, covered, **shape) for index, covered, shape in seen]
    return Frame(image, [pedestrian for pedestrian in found if pedestrian is not None])


def _ground_truth(
    owner: np.ndarray,
    index: int,
    covered: int,
    *,
    place: tuple[float, float, float],
    aspect: float,
    depth: float,
    seed: int,
) -> Pedestrian | None:
    centre, bottom, tall = place
    left, right = centre - tall * aspect / 2, centre + tall * aspect / 2
    # A thousandth of a pixel inside, so that six decimals of a label never round to outside the image.
    low, wide, high = 0.001, WIDTH - 0.001, HEIGHT - 0.001
    clipped = (max(left, low), max(bottom - tall, low), min(right, wide), min(bottom, high))
    if clipped[2] - clipped[0] < 3 or clipped[3] - clipped[1] < 6:
        return None
    visible = int((owner == index).sum())
    return Pedestrian(clipped, depth, 1 - visible / max(covered, 1), clothing_of(seed))
