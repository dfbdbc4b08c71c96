"""Pictures of birds for `bird_focus`, drawn with NumPy and Pillow alone.

`species` is the data, `anatomy` poses it, `drawing` paints one bird, `places` and `props` draw what is behind
it, and `scene` puts them together.
"""
