"""What leaves as a file or is read off a screen: drill_page.py and page.py reports as PDF, archive.py tar and zip, age.py archives under a
password, qr.py codes. Values in, bytes out.

PDF is made by reportlab: pure Python, BSD, kept up since 2000, and imported in 0.12 s (fpdf2: 0.55 s, and LGPL). Its own fonts, Bitstream Vera, are
embedded: 40 KB a page. They hold Western and Turkish letters and some of the Slavic ones. For others a font of this machine is embedded, as
far as it is used (DejaVu for Greek and Cyrillic, Droid Sans Fallback for Chinese and Japanese, others that fontconfig names); a character that
none has is shown as its code. reportlab's own fonts for those scripts are not embedded: what they look like would be the reader's machine's
affair.
"""
