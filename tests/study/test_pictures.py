import base64
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from autoparts.study.pictures import figure_html, figure_png, thumbnail

HOSTILE = '"><img src=x onerror=alert(1)>'


def png(label="What it shows", caption="A caption"):
    figure, axes = plt.subplots(figsize=(7.2, 2))
    axes.imshow(np.random.default_rng(0).random((20, 20)), cmap="gray")
    figure.set_label(label)
    return figure_png(figure, caption)


def test_a_figure_is_sharp_small_and_keeps_its_texts():
    plt.close("all")  # of other tests
    html = BeautifulSoup(figure_html(png(HOSTILE, HOSTILE), HOSTILE), "html.parser")
    assert (html.img["width"], html.img["height"]) == ("720", "200") and len(html.select("img")) == 1
    assert html.figure["id"] == html.img["alt"] == html.figcaption.text == HOSTILE
    with Image.open(io.BytesIO(png())) as image:
        assert image.size == (1440, 400) and image.mode == "LA"
        assert image.getpixel((0, 0))[1] == 0 and image.getpixel((720, 200))[1] == 255  # beside the photo, and in it
        assert image.text == {"Title": "A caption", "Description": "What it shows"}
    assert not plt.get_fignums() and png() == png()


def test_a_chart_is_on_white_and_said_to_be_a_chart():
    figure, axes = plt.subplots(figsize=(5.6, 3))
    axes.plot([0, 1])
    figure.set_label("A line")
    drawn = figure_png(figure, "A caption")
    assert BeautifulSoup(figure_html(drawn, "f"), "html.parser").figure["class"] == ["chart"]
    assert BeautifulSoup(figure_html(png(), "f"), "html.parser").figure["class"] == ["photos", "wide"]
    with Image.open(io.BytesIO(drawn)) as image:
        assert not image.has_transparency_data and image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_a_figure_without_an_alternative_text_is_refused_and_a_damaged_picture_is_noticed():
    with pytest.raises(ValueError, match="alternative text"):
        png(label="")
    for content in (b"", b"garbage", png()[:2000], png()[:200]):
        with pytest.raises((OSError, SyntaxError)):
            figure_html(content, "f")


@pytest.mark.parametrize("shape", [(100, 100), (100, 100, 3)])
def test_a_thumbnail_is_a_small_jpeg(shape):
    kind, data = thumbnail(np.full(shape, 99, dtype=np.uint8)).split(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (56, 56)
