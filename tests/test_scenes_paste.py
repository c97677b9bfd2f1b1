"""Cut-outs on photos: where they lie, what they hide, and the labels of both."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from syndet_ray import SceneParameters
from syndet_ray.boxes import ANY_CLASS, Boxes
from syndet_ray.data.parts_of_photos import save_part
from syndet_ray.data.pool import Pool
from syndet_ray.data.record import Record
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.scenes.generate import generate, render_part
from syndet_ray.scenes.paste import Layer, Pasted, compose_pasted, draw_pasted, visible_part
from syndet_ray.scenes.scene import LabelStyle
from syndet_ray.scenes.stock import load_stock, write_stock

WIDTH, HEIGHT = 80, 60
PHOTO_BOXES = Boxes.of(
    [[10, 10, 30, 30], [50, 20, 70, 40], [0, 40, 80, 60]],
    [0, 1, ANY_CLASS],
    visibility=[np.nan, 0.5, np.nan],
    crowd=[False, False, True],
)


def cutout(folder, class_name, size_wh=(20, 20), color=(250, 0, 0), name="one"):
    """A disc, on a ground that must not show."""
    x, y = np.meshgrid(*(np.linspace(-1, 1, side) for side in size_wh))
    pixels = np.full((*size_wh[::-1], 4), 255, np.uint8)
    pixels[x**2 + y**2 <= 1, :3] = color
    pixels[..., 3] = 255 * (x**2 + y**2 <= 1)
    (folder / class_name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / class_name / f"{name}.png")


@pytest.fixture
def photos(tmp_path):
    """A pool of three grey photos of different brightness."""
    images = [np.full((HEIGHT, WIDTH, 3), 40 * (k + 1), np.uint8) for k in range(3)]
    return Pool.of("train", ("die", "cup"), images, [PHOTO_BOXES] * 3, ["a", "b", "c"])


@pytest.fixture
def parameters(tmp_path, photos):
    """Parameters of pasted images, with a red cut-out of one class."""
    cutout(tmp_path / "cut", "cup")
    folder = write_stock(photos, tmp_path / "cache", "photos", cuts=False)
    return SceneParameters(
        arrangement="paste",
        photos=str(folder),
        cutouts=str(tmp_path / "cut"),
        image_px=WIDTH,
        aspect=WIDTH / HEIGHT,
        objects=2,
    )


def stock_for(parameters):
    return load_stock(parameters.photos, parameters.cutouts)


def whole_photo(*pieces, **style):
    """A photo as it is, with cut-outs at places."""
    layers = tuple(
        ("cup/one.png", Layer(size_wh=(20, 20), corner=corner, flipped=False)) for corner in pieces
    )
    layer = Layer(size_wh=(WIDTH, HEIGHT), corner=(0, 0), flipped=False)
    return Pasted(
        photo=(0, layer),
        pieces=layers,
        size_wh=(WIDTH, HEIGHT),
        label_style=LabelStyle(**style),
    )


def test_a_photo_alone_stays_as_it_is(parameters, photos):
    image, boxes = compose_pasted(whole_photo(), stock_for(parameters))
    assert (image == photos.image(0)).all()
    for column in ("xyxy", "labels", "visibility", "crowd"):
        np.testing.assert_array_equal(getattr(boxes, column), getattr(PHOTO_BOXES, column))


def test_what_is_pasted_shows_and_has_a_box_around_it(parameters):
    image, boxes = compose_pasted(whole_photo((5, 40)), stock_for(parameters))
    assert boxes.xyxy[-1].tolist() == [5, 40, 25, 60]
    assert boxes.labels[-1] == 1 and boxes.visibility[-1] == 1
    assert image[50, 15].tolist() == [250, 0, 0]
    assert image[41, 6].tolist() == [40, 40, 40], "beside the disc the photo shows"
    assert image.max() == 250, "the ground of the cut-out's own photo shows nowhere"


def test_objects_of_the_photo_are_told_how_much_is_hidden(parameters):
    # the cut-out covers the left half of the first object, and nothing of the second
    _, boxes = compose_pasted(whole_photo((0, 10)), stock_for(parameters))
    hidden, other, region, pasted = boxes.xyxy
    assert 0.35 < boxes.visibility[0] < 0.65
    assert hidden[0] > 12 and hidden[1:].tolist() == [10, 30, 30]
    assert other.tolist() == [50, 20, 70, 40] and boxes.visibility[1] == 0.5
    assert region.tolist() == [0, 40, 80, 60] and boxes.crowd[2]
    assert pasted.tolist() == [0, 10, 20, 30]


def test_what_is_hidden_already_is_hidden_further(parameters):
    _, boxes = compose_pasted(whole_photo((40, 20)), stock_for(parameters))
    assert 0.15 < boxes.visibility[1] < 0.35


def test_what_is_wholly_hidden_has_no_box_and_regions_stay(parameters):
    _, boxes = compose_pasted(whole_photo((10, 10), (50, 20), (50, 20)), stock_for(parameters))
    assert boxes.labels.tolist() == [ANY_CLASS, 1, 1], "the first cup lies under the second"
    assert boxes.crowd.tolist() == [True, False, False]


def test_least_visibility_acts_on_photo_and_cut_outs_but_not_on_what_is_unknown(parameters):
    pasted = whole_photo((72, 0), least_visibility=0.6)
    _, boxes = compose_pasted(pasted, stock_for(parameters))
    assert boxes.labels.tolist() == [0, ANY_CLASS], "of both cups half or less is visible"


def test_boxes_of_cut_outs_have_the_style_of_labels_and_those_of_photos_their_own(parameters):
    _, boxes = compose_pasted(whole_photo((5, 35), padding=0.2), stock_for(parameters))
    assert boxes.xyxy[0].tolist() == [10, 10, 30, 30]
    assert boxes.xyxy[-1].tolist() == [3, 33, 27, 57]


def test_boxes_of_cut_outs_are_those_that_people_placed_where_they_are_known(parameters, tmp_path):
    x, y = np.meshgrid(*(np.linspace(-1, 1, 20) for _ in "xy"))
    rgba = np.full((20, 20, 4), 200, np.uint8)
    rgba[..., 3] = 255 * (x**2 + y**2 <= 1)
    (tmp_path / "labelled" / "cup").mkdir(parents=True)
    record = Record(image_id="one", image=b"", size_wh=(1, 1), boxes=Boxes.none(), place="one")
    save_part(rgba, record, tmp_path / "labelled" / "cup", "0", np.array([-3.0, -2.0, 24.0, 21.0]))
    stock = load_stock(parameters.photos, str(tmp_path / "labelled"))
    (name,) = stock.cutouts
    width, height = stock.cutouts[name].size_wh
    layer = Layer(size_wh=(width, height), corner=(31, 11), flipped=False)
    pasted = replace(whole_photo(padding=0.5), pieces=((name, layer),))
    _, boxes = compose_pasted(pasted, stock)
    margin = (20 - width) // 2  # the disc does not reach the border of its picture
    label = np.array([28, 9, 55, 32]) - np.tile(margin, 4)
    assert boxes.xyxy[-1].tolist() == label.tolist()
    flipped = replace(pasted, pieces=((name, replace(layer, flipped=True)),))
    _, boxes = compose_pasted(flipped, stock)
    assert boxes.xyxy[-1].tolist() == (label - [1, 0, 1, 0]).tolist()
    # half of it beyond the border
    cut_off = replace(pasted, pieces=((name, replace(layer, corner=(-8, 11))),))
    _, boxes = compose_pasted(cut_off, stock)
    assert boxes.xyxy[-1].tolist() == [0, label[1], 16 - margin, label[3]]


def test_a_flipped_and_smaller_photo_keeps_its_objects(parameters):
    layer = Layer(size_wh=(40, 30), corner=(30, -3), flipped=True)
    pasted = Pasted(photo=(0, layer), pieces=(), size_wh=(WIDTH, HEIGHT), label_style=LabelStyle())
    image, boxes = compose_pasted(pasted, stock_for(parameters))
    assert boxes.xyxy.tolist() == [[55, 2, 65, 12], [35, 7, 45, 17], [30, 17, 70, 27]]
    assert image[10, 40, 0] == 40 and image[50, 40, 0] == image[10, 10, 0] == 114


@pytest.mark.parametrize("side_px", [0.2, 1.0, 3.0])
def test_the_smallest_objects_break_nothing(side_px):
    covered = np.zeros((10, 10), bool)
    share, box = visible_part(np.array([4.9, 4.9, 4.9 + side_px, 4.9 + side_px]), covered)
    assert share in (0, 1) and np.isfinite(box).all()
    assert visible_part(np.array([-9.0, 2.0, -1.0, 8.0]), covered)[0] == 0
    assert visible_part(np.array([-4.0, 2.0, 4.0, 8.0]), covered)[0] == 0.5


def test_an_image_is_a_function_of_seed_and_index_however_it_is_rendered(parameters, tmp_path):
    stock = stock_for(parameters)
    drawn = draw_pasted(parameters, stock, 3, 5)
    assert drawn == draw_pasted(parameters, stock, 3, 5)
    assert drawn != draw_pasted(parameters, stock, 3, 6)
    pool = generate(parameters, 6, 3, tmp_path / "sets")
    assert (pool.image(5) == compose_pasted(drawn, stock)[0]).all()
    alone = render_part(parameters, 6, 3, [5])
    assert (alone.image(0) == pool.image(5)).all()
    assert pool.synthetic and pool.classes == ("die", "cup")


def test_every_photo_is_taken_as_often(parameters):
    stock = stock_for(parameters)
    taken = [draw_pasted(parameters, stock, 0, index).photo[0] for index in range(9)]
    assert sorted(taken) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_scale_range_holds_for_photo_and_cut_outs(parameters):
    jittered = parameters.model_copy(update={"scale_range": (0.3, 0.6), "objects": 4})
    stock = stock_for(parameters)
    for index in range(12):
        drawn = draw_pasted(jittered, stock, 0, index)
        assert 0.29 * WIDTH <= drawn.photo[1].size_wh[0] <= 0.61 * WIDTH
        for _, layer in drawn.pieces:
            assert 5 <= layer.size_wh[0] <= 12


def test_cut_outs_overlap_and_leave_the_image_no_more_than_they_may(parameters):
    strict = parameters.model_copy(update={"overlap": 0.0, "crop": 0.0, "scale_range": (1.0, 1.0)})
    stock = stock_for(parameters)
    for index in range(12):
        drawn = draw_pasted(strict, stock, 0, index)
        _, boxes = compose_pasted(drawn, stock)
        assert (boxes.visibility[3:] == 1).all()
        assert len(boxes) == 3 + len(drawn.pieces), "no object of the photo is hidden"


def test_objects_without_a_place_are_counted(parameters, caplog):
    full = parameters.model_copy(update={"objects": 60, "overlap": 0.0})
    pool = render_part(full, 2, 0, range(2))
    assert len(pool) == 2
    assert "of 120 objects found no place in 2 scenes" in caplog.text


@pytest.mark.parametrize(("low", "high"), [(0.01, 1.0), (1.5, 1.0), (1.0, 9.0)])
def test_a_range_of_scales_that_makes_no_sense_is_refused(low, high):
    with pytest.raises(ValueError, match=r"scale_range must satisfy 0.05 <= minimum <= maximum"):
        SceneParameters(scale_range=(low, high))


def test_bad_input_is_named(parameters, tmp_path):
    def message(photos=parameters.photos, cutouts=parameters.cutouts):
        with pytest.raises((DataError, DefinitionError)) as error:
            load_stock(str(photos), str(cutouts))
        return str(error.value)

    assert message(photos="").startswith("scene.photos: names no photos")
    assert "holds no training photos that a run has prepared" in message(photos=tmp_path)
    assert "lost: is no folder of cut-outs" in message(cutouts=tmp_path / "lost")
    (tmp_path / "empty" / "cup").mkdir(parents=True)
    assert "empty: holds no cut-outs: images with transparency" in message(
        cutouts=tmp_path / "empty"
    )
    cutout(tmp_path / "others", "spoon")
    cutout(tmp_path / "others", "cup")
    assert "others: has cut-outs of classes that the photos lack: spoon." in message(
        cutouts=tmp_path / "others"
    )
    cutout(tmp_path / "large", "cup", size_wh=(90, 20))
    assert "cup/one.png: is larger than all photos" in message(cutouts=tmp_path / "large")
    (tmp_path / "opaque" / "cup").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "opaque" / "cup" / "one.png")
    assert "it has no transparency" in message(cutouts=tmp_path / "opaque")
