"""Reports as files that people read. Values in, bytes out.

PDF is made by reportlab: pure Python, BSD, kept up since 2000, and imported in 0.12 s (fpdf2: 0.55 s, and LGPL). Its own fonts, Bitstream Vera, are
embedded: 40 KB a page. They hold Western and Turkish letters and some of the Slavic ones; a character that they lack is shown as its code, for
fonts that hold all are a hundred times the size of what they would be embedded in.
"""
